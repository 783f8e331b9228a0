{{define "unlisted"}}
# Members of the group whom the policy of Postern does not list. Nothing is taken out here.
function Format-Quoted($text) { "'" + ($text -replace '[\u0027\u2018\u2019\u201a\u201b]', '$0$0') + "'" }
$listed = @($mailboxes | ForEach-Object { Get-Mailbox -Identity $_ -ErrorAction SilentlyContinue } | ForEach-Object { $_.DistinguishedName })
if ($listed.Count -lt $mailboxes.Count) { Write-Warning 'Not every mailbox of the policy was found here.' }
if ($mailboxes.Count -gt 0) {
    foreach ($member in $inside) {
        if (-not ($listed -contains $member.DistinguishedName)) {
            Write-Warning ('Wider than needed: the group has a member whom the policy does not list{{if .Patterns}} by address; see whether a pattern or group of the policy means it{{end}}: ' + $member.DistinguishedName)
            Write-Output ('To take it out: Remove-DistributionGroupMember -Identity ' + (Format-Quoted $group) + ' -Member ' + (Format-Quoted $member.DistinguishedName))
        }
    }
}
{{end}}
{{template "head" .}}
$group = {{quote .Group}}
{{if not (and .Own (not .Online))}}$mailboxes = {{list .Mailboxes}}
{{end}}{{if .Online -}}
$apps = {{list .AppIDs}}
Write-Output 'Each line must say InScope = True for a member of the group, and False for the mailbox that is none.'
$inside = @(Get-DistributionGroupMember -Identity $group -ResultSize Unlimited -ErrorAction Stop)
$names = @($inside | ForEach-Object { $_.DistinguishedName })
$outside = @(Get-Mailbox -ResultSize 1000 | Where-Object { -not ($names -contains $_.DistinguishedName) })
{{template "unlisted" .}}
foreach ($app in $apps) {
    foreach ($member in $inside) { Test-ServicePrincipalAuthorization -Identity $app -Resource $member.DistinguishedName | Format-Table -AutoSize -Property @('RoleName', 'AllowedResourceScope', 'InScope') }
    if ($outside.Count -gt 0) { Test-ServicePrincipalAuthorization -Identity $app -Resource $outside[0].DistinguishedName | Format-Table -AutoSize -Property @('RoleName', 'AllowedResourceScope', 'InScope') }
}
Get-OrganizationConfig -RetrieveEwsOperationAccessPolicy | Format-List -Property 'Ews*'
{{- else -}}
$accounts = {{list .Accounts}}
{{if .Own -}}
Write-Output 'Each user logs on alone: nothing is permitted to anybody else.'
{{- else -}}
Write-Output 'The mailboxes that may be opened:'
$inside = @(Get-DistributionGroupMember -Identity $group -ResultSize Unlimited -ErrorAction Stop)
$inside | Format-Table -AutoSize -Property @('Name', 'PrimarySmtpAddress')
{{template "unlisted" .}}
{{- end}}
{{if and .Is2007 (not .Own) (not .Delegate)}}
foreach ($account in $accounts) {
    $who = (Get-User -Identity $account -ErrorAction Stop).DistinguishedName
    foreach ($member in $inside) {
        $held = @(Get-ADPermission -Identity $member.DistinguishedName -User $who -ErrorAction Stop | Where-Object { "$($_.ExtendedRights)" -like '*ms-Exch-EPI-May-Impersonate*' })
        if ($held.Count -eq 0) { Write-Warning ('Not permitted: ' + $member.DistinguishedName) }
    }
}
{{else if .Delegate}}
foreach ($account in $accounts) {
    $who = (Get-User -Identity $account -ErrorAction Stop).DistinguishedName
    foreach ($member in $inside) {
        $held = @(Get-MailboxPermission -Identity $member.DistinguishedName -User $who -ErrorAction Stop | Where-Object { "$($_.AccessRights)" -like '*FullAccess*' })
        if ($held.Count -eq 0) { Write-Warning ('Not permitted: ' + $member.DistinguishedName) }
    }
}
{{else if not .Own}}
foreach ($account in $accounts) {
    $who = (Get-User -Identity $account -ErrorAction Stop).DistinguishedName
    # Read whole before each is looked at: a remote session does one thing at a time.
    $all = @(Get-ManagementRoleAssignment -Role 'ApplicationImpersonation' -GetEffectiveUsers -ErrorAction Stop)
    $rights = @($all | Where-Object { $_.EffectiveUserName -and (Get-User -Identity $_.EffectiveUserName -ErrorAction SilentlyContinue).DistinguishedName -eq $who })
    if ($rights.Count -eq 0) { Write-Warning 'The account may act as nobody: run the grant.' }
    foreach ($right in $rights) {
        if ("$($right.CustomRecipientWriteScope)" -ne 'Postern mailboxes') { Write-Warning ('Wider than needed: ' + $right.Name + ' lets the account act as more than the members of the group.') }
        $right | Format-List -Property @('Name', 'RoleAssigneeName', 'RecipientWriteScope', 'CustomRecipientWriteScope')
    }
}
{{end}}{{if not .Is2007}}
Write-Output 'The filter by User-Agent, and EWS of the accounts:'
Get-OrganizationConfig | Format-List -Property 'Ews*'
foreach ($account in $accounts) { Get-CASMailbox -Identity $account -ErrorAction SilentlyContinue | Format-List -Property @('Name', 'Ews*') }
{{end}}{{end}}
Write-Output 'Then run the check on the page that you have these lines from: it asks Exchange for a mailbox that it must open, and for one that it must refuse.'
