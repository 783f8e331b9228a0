{{template "head" .}}
$accounts = {{list .Accounts}}
{{if .Is2007}}
Write-Output 'Who may act as others through a Client Access server:'
foreach ($server in @(Get-ClientAccessServer)) {
    Get-ADPermission -Identity $server.DistinguishedName | Where-Object { "$($_.ExtendedRights)" -like '*ms-Exch-EPI-Impersonation*' } | Format-Table -AutoSize -Property @('Identity', 'User', 'Deny', 'IsInherited')
}
Write-Output 'Which mailboxes the account may act as already:'
foreach ($account in $accounts) {
    foreach ($mailbox in @(Get-Mailbox -ResultSize Unlimited)) {
        Get-ADPermission -Identity $mailbox.DistinguishedName -User $account | Where-Object { "$($_.ExtendedRights)" -like '*ms-Exch-EPI-May-Impersonate*' } | Format-Table -AutoSize -Property @('Identity', 'User', 'Deny', 'IsInherited')
    }
}
{{else}}
Write-Output 'EWS for the organization, with the lists of User-Agents:'
Get-OrganizationConfig{{if .Online}} -RetrieveEwsOperationAccessPolicy{{end}} | Format-List -Property 'Ews*'

Write-Output 'Mailboxes with settings of their own for EWS:'
Get-CASMailbox -ResultSize Unlimited | Where-Object { $_.EwsEnabled -ne $null -or $_.EwsApplicationAccessPolicy -or $_.EwsAllowList -or $_.EwsBlockList } | Format-Table -AutoSize -Property @('Name', 'EwsEnabled', 'EwsApplicationAccessPolicy', 'EwsAllowList', 'EwsBlockList')
{{if .Online}}
Write-Output 'Applications with rights on mailboxes, and for which of them:'
Get-ManagementRoleAssignment | Where-Object { "$($_.Role)" -like 'Application *' } | Format-Table -AutoSize -Property @('Name', 'Role', 'RoleAssigneeName', 'CustomResourceScope')
Get-ApplicationAccessPolicy -ErrorAction SilentlyContinue | Format-Table -AutoSize -Property @('AppId', 'AccessRight', 'ScopeName', 'Description')
{{else}}
Write-Output 'Who may act as others, and as whom:'
Get-ManagementRoleAssignment -Role 'ApplicationImpersonation' -GetEffectiveUsers | Format-Table -AutoSize -Property @('EffectiveUserName', 'RoleAssigneeName', 'RecipientWriteScope', 'CustomRecipientWriteScope')

Write-Output 'Where EWS is, and how one logs on there:'
Get-WebServicesVirtualDirectory -ADPropertiesOnly | Format-List -Property @('Server', 'InternalUrl', 'ExternalUrl', '*Authentication*', 'ExtendedProtection*')

Write-Output 'EWS of the accounts themselves:'
foreach ($account in $accounts) { Get-CASMailbox -Identity $account -ErrorAction SilentlyContinue | Format-List -Property @('Name', 'Ews*') }
{{end}}
Write-Output 'Scopes:'
Get-ManagementScope | Format-Table -AutoSize -Property @('Name', 'RecipientFilter')
{{end -}}
