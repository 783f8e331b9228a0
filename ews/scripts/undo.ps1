{{template "head" .}}
$file = Join-Path $HOME 'Postern-undo.xml'
$steps = @()
if (Test-Path -Path $file) { $steps = @(Import-Clixml -Path $file) }
if ($steps.Count -eq 0) {
    Write-Output 'Nothing is noted: nothing was granted from this account on this machine, or it is undone already.'
}

# Each step that was noted is undone, the last one first. What is gone already is left out.
for ($i = $steps.Count - 1; $i -ge 0; $i--) {
    $step = $steps[$i]
    $of = $step.of
    switch ($step.what) {
{{- if .Online}}
        'application' {
            $config = Get-OrganizationConfig -RetrieveEwsOperationAccessPolicy
            $left = @("$($config.EwsAllowedAppIDs)".Split(',') | ForEach-Object { $_.Trim() } | Where-Object { $_ -ne '' -and $_ -ne $of })
            if ($left.Count -eq 0) { Set-OrganizationConfig -EwsAllowedAppIDs $null } else { Set-OrganizationConfig -EwsAllowedAppIDs ($left -join ',') }
        }
        'role assignment' {
            if (Get-ManagementRoleAssignment -Identity $of -ErrorAction SilentlyContinue) { Remove-ManagementRoleAssignment -Identity $of -Confirm:$false }
        }
        'service principal' {
            if (Get-ServicePrincipal -Identity $of -ErrorAction SilentlyContinue) { Remove-ServicePrincipal -Identity $of -Confirm:$false }
        }
{{- end}}{{if .Is2007}}
        'ms-Exch-EPI-Impersonation' {
            if (Get-ADPermission -Identity $of -User $step.at | Where-Object { -not $_.IsInherited -and "$($_.ExtendedRights)" -like '*ms-Exch-EPI-Impersonation*' }) {
                Remove-ADPermission -Identity $of -User $step.at -ExtendedRights 'ms-Exch-EPI-Impersonation' -Confirm:$false
            }
        }
        'ms-Exch-EPI-May-Impersonate' {
            if (Get-ADPermission -Identity $of -User $step.at | Where-Object { -not $_.IsInherited -and "$($_.ExtendedRights)" -like '*ms-Exch-EPI-May-Impersonate*' }) {
                Remove-ADPermission -Identity $of -User $step.at -ExtendedRights 'ms-Exch-EPI-May-Impersonate' -Confirm:$false
            }
        }
{{- else}}
        'allow list' {
            if (@((Get-OrganizationConfig).EwsAllowList) -contains $of) { Set-OrganizationConfig -EwsAllowList @{ Remove = $of } }
        }
        'allow list in force' {
            Set-OrganizationConfig -EwsApplicationAccessPolicy $step.was -EwsAllowList $null
        }
        'mailbox allow list' {
            if (@((Get-CASMailbox -Identity $step.at).EwsAllowList) -contains $of) { Set-CASMailbox -Identity $step.at -EwsAllowList @{ Remove = $of } }
        }
        'scope' {
            if (Get-ManagementScope -Identity $of -ErrorAction SilentlyContinue) { Remove-ManagementScope -Identity $of -Confirm:$false }
        }
{{- end}}{{if .RoleGroups}}
        'EwsEnabled' {
            Set-CASMailbox -Identity $of -EwsEnabled $step.was
        }
        'role group member' {
            if (@(Get-RoleGroupMember -Identity $step.at -ResultSize Unlimited -ErrorAction SilentlyContinue | Where-Object { $_.DistinguishedName -eq $of }).Count -gt 0) {
                Remove-RoleGroupMember -Identity $step.at -Member $of -BypassSecurityGroupManagerCheck -Confirm:$false
            }
        }
        'role group' {
            if (Get-RoleGroup -Identity $of -ErrorAction SilentlyContinue) { Remove-RoleGroup -Identity $of -BypassSecurityGroupManagerCheck -Confirm:$false }
        }
{{- end}}{{if not .Online}}
        'full access' {
            if (Get-MailboxPermission -Identity $of -User $step.at | Where-Object { -not $_.IsInherited -and "$($_.AccessRights)" -like '*FullAccess*' }) {
                Remove-MailboxPermission -Identity $of -User $step.at -AccessRights 'FullAccess' -InheritanceType 'All' -Confirm:$false
            }
        }
{{- end}}
        'member' {
            if (@(Get-DistributionGroupMember -Identity $step.at -ResultSize Unlimited -ErrorAction SilentlyContinue | Where-Object { $_.DistinguishedName -eq $of }).Count -gt 0) {
                Remove-DistributionGroupMember -Identity $step.at -Member $of{{if not .Is2007}} -BypassSecurityGroupManagerCheck{{end}} -Confirm:$false
            }
        }
        'group' {
            if (Get-DistributionGroup -Identity $of -ErrorAction SilentlyContinue) { Remove-DistributionGroup -Identity $of{{if not .Is2007}} -BypassSecurityGroupManagerCheck{{end}} -Confirm:$false }
        }
        default { throw ('The file ' + $file + ' names a step that this script does not know: ' + $step.what) }
    }
    Write-Output ('Undone: ' + $step.what + ' ' + $of)
}
if ($steps.Count -gt 0) { Remove-Item -Path $file }
