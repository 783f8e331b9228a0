{{template "head" .}}
$file = Join-Path $HOME 'Postern-undo.xml'
$steps = @()
if (Test-Path -Path $file) { $steps = @(Import-Clixml -Path $file -ErrorAction Stop) }
if ($steps.Count -eq 0) {
    Write-Output 'Nothing is noted: nothing was granted from this account on this machine, or it is undone already.'
}
{{template "find-group"}}{{if not .Is2007}}
function Find-Mailbox($dn) {
    $found = @(Get-Mailbox -Identity $dn -ErrorAction SilentlyContinue)
    if ($found.Count -eq 0) { $found = @(Get-Mailbox -ResultSize Unlimited -ErrorAction Stop | Where-Object { $_.DistinguishedName -eq $dn }) }
    $found
}
{{end}}
# What of a step is still there.
function Find-Step($step) {
    $of = $step.of
    switch ($step.what) {
{{- if .Online}}
        'application' {
            $config = Get-OrganizationConfig -RetrieveEwsOperationAccessPolicy -ErrorAction Stop
            "$($config.EwsAllowedAppIDs)".Split(',') | Where-Object { $_.Trim() -eq $of }
        }
        'role assignment' { Get-ManagementRoleAssignment -Role 'Application EWS.AccessAsApp' -ErrorAction Stop | Where-Object { $_.Name -eq $of } }
        'service principal' { Get-ServicePrincipal -ErrorAction Stop | Where-Object { $_.AppId -eq $of } }
{{- end}}{{if .Is2007}}
        'ms-Exch-EPI-Impersonation' { Get-ADPermission -Identity $of -User $step.at -ErrorAction Stop | Where-Object { -not $_.IsInherited -and "$($_.ExtendedRights)" -like '*ms-Exch-EPI-Impersonation*' } }
        'ms-Exch-EPI-May-Impersonate' { Get-ADPermission -Identity $of -User $step.at -ErrorAction Stop | Where-Object { -not $_.IsInherited -and "$($_.ExtendedRights)" -like '*ms-Exch-EPI-May-Impersonate*' } }
{{- else}}
        'allow list' {
            $config = Get-OrganizationConfig -ErrorAction Stop
            $config.EwsAllowList | Where-Object { $_ -eq $of }
        }
        'allow list in force' { Get-OrganizationConfig -ErrorAction Stop | Where-Object { "$($_.EwsApplicationAccessPolicy)" -ne "$($step.was)" } }
        'mailbox allow list' {
            foreach ($box in @(Find-Mailbox $step.at)) {
                $cas = Get-CASMailbox -Identity $step.at -ErrorAction Stop
                $cas.EwsAllowList | Where-Object { $_ -eq $of }
            }
        }
        'scope' { Get-ManagementScope -ErrorAction Stop | Where-Object { $_.Name -eq $of } }
{{- end}}{{if .RoleGroups}}
        'EwsEnabled' {
            foreach ($box in @(Find-Mailbox $of)) { Get-CASMailbox -Identity $of -ErrorAction Stop | Where-Object { $_.EwsEnabled -ne $step.was } }
        }
        'role group member' {
            foreach ($roles in @(Get-RoleGroup -ErrorAction Stop | Where-Object { $_.Name -eq $step.at })) {
                Get-RoleGroupMember -Identity $step.at -ResultSize Unlimited -ErrorAction Stop | Where-Object { $_.DistinguishedName -eq $of }
            }
        }
        'role group' { Get-RoleGroup -ErrorAction Stop | Where-Object { $_.Name -eq $of } }
{{- end}}{{if not (or .Online .Is2007)}}
        'full access' {
            foreach ($box in @(Find-Mailbox $of)) { Get-MailboxPermission -Identity $of -User $step.at -ErrorAction Stop | Where-Object { -not $_.IsInherited -and "$($_.AccessRights)" -like '*FullAccess*' } }
        }
{{- else if .Is2007}}
        'full access' { Get-MailboxPermission -Identity $of -User $step.at -ErrorAction Stop | Where-Object { -not $_.IsInherited -and "$($_.AccessRights)" -like '*FullAccess*' } }
{{- end}}
        'member' {
            foreach ($one in @(Find-Group $step.at)) {
                Get-DistributionGroupMember -Identity $step.at -ResultSize Unlimited -ErrorAction Stop | Where-Object { $_.DistinguishedName -eq $of }
            }
        }
        'group' { Find-Group $of | Where-Object { $_.Name -eq $of } }
        default { throw ('The file ' + $file + ' names a step that this script does not know: ' + $step.what) }
    }
}

function Undo-Step($step) {
    $of = $step.of
    switch ($step.what) {
{{- if .Online}}
        'application' {
            $config = Get-OrganizationConfig -RetrieveEwsOperationAccessPolicy -ErrorAction Stop
            $left = @("$($config.EwsAllowedAppIDs)".Split(',') | ForEach-Object { $_.Trim() } | Where-Object { $_ -ne '' -and $_ -ne $of })
            if ($left.Count -eq 0) { Set-OrganizationConfig -EwsAllowedAppIDs $null -ErrorAction Stop } else { Set-OrganizationConfig -EwsAllowedAppIDs ($left -join ',') -ErrorAction Stop }
        }
        'role assignment' { Remove-ManagementRoleAssignment -Identity $of -Confirm:$false -ErrorAction Stop }
        'service principal' { Remove-ServicePrincipal -Identity $of -Confirm:$false -ErrorAction Stop }
{{- end}}{{if .Is2007}}
        'ms-Exch-EPI-Impersonation' { Remove-ADPermission -Identity $of -User $step.at -ExtendedRights 'ms-Exch-EPI-Impersonation' -Confirm:$false -ErrorAction Stop }
        'ms-Exch-EPI-May-Impersonate' { Remove-ADPermission -Identity $of -User $step.at -ExtendedRights 'ms-Exch-EPI-May-Impersonate' -Confirm:$false -ErrorAction Stop }
{{- else}}
        'allow list' { Set-OrganizationConfig -EwsAllowList @{ Remove = $of } -ErrorAction Stop }
        'allow list in force' { Set-OrganizationConfig -EwsApplicationAccessPolicy $step.was -EwsAllowList $null -ErrorAction Stop }
        'mailbox allow list' { Set-CASMailbox -Identity $step.at -EwsAllowList @{ Remove = $of } -ErrorAction Stop }
        'scope' { Remove-ManagementScope -Identity $of -Confirm:$false -ErrorAction Stop }
{{- end}}{{if .RoleGroups}}
        'EwsEnabled' { Set-CASMailbox -Identity $of -EwsEnabled $step.was -ErrorAction Stop }
        'role group member' { Remove-RoleGroupMember -Identity $step.at -Member $of -BypassSecurityGroupManagerCheck -Confirm:$false -ErrorAction Stop }
        'role group' { Remove-RoleGroup -Identity $of -BypassSecurityGroupManagerCheck -Confirm:$false -ErrorAction Stop }
{{- end}}{{if not .Online}}
        'full access' { Remove-MailboxPermission -Identity $of -User $step.at -AccessRights 'FullAccess' -InheritanceType 'All' -Confirm:$false -ErrorAction Stop }
{{- end}}
        'member' { Remove-DistributionGroupMember -Identity $step.at -Member $of{{if not .Is2007}} -BypassSecurityGroupManagerCheck{{end}} -Confirm:$false -ErrorAction Stop }
        'group' { Remove-DistributionGroup -Identity $of{{if not .Is2007}} -BypassSecurityGroupManagerCheck{{end}} -Confirm:$false -ErrorAction Stop }
    }
}

# Each step that was noted is undone, the last one first, and read again: it is undone when it is
# gone. Any error ends this with all notes kept.
$kept = @()
for ($i = $steps.Count - 1; $i -ge 0; $i--) {
    $step = $steps[$i]
    if (@(Find-Step $step).Count -gt 0) { Undo-Step $step }
    if (@(Find-Step $step).Count -eq 0) {
        Write-Output ('Undone: ' + $step.what + ' ' + $step.of)
    } else {
        $kept = @($step) + @($kept)
        Write-Warning ('Still there, and its note is kept: ' + $step.what + ' ' + $step.of + '. Exchange may need a while to show it; run this again.')
    }
}
if ($kept.Count -gt 0) {
    $kept | Export-Clixml -Path $file -Depth 5 -ErrorAction Stop
} elseif ($steps.Count -gt 0) {
    Remove-Item -Path $file -ErrorAction Stop
}
