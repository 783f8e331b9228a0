{{template "head" .}}
$group = {{quote .Group}}
$accounts = {{list .Accounts}}
$mailboxes = {{list .Mailboxes}}
if ($accounts.Count -eq 0) { throw 'Enter the account that Postern logs on with in $accounts.' }
{{template "record" .}}{{template "group" .}}{{template "scope" .}}
# The right to act as the members of the group, and as nobody else.
if (@(Get-RoleGroup -ErrorAction Stop | Where-Object { $_.Name -eq 'Postern impersonation' }).Count -eq 0) {
    Save-Step 'role group' 'Postern impersonation' $null $null
    New-RoleGroup -Name 'Postern impersonation' -Roles 'ApplicationImpersonation' -CustomRecipientWriteScope 'Postern mailboxes' -Description 'Lets Postern read the mailboxes of one group' -ErrorAction Stop | Out-Null
}
$holders = @(Get-RoleGroupMember -Identity 'Postern impersonation' -ResultSize Unlimited -ErrorAction Stop | ForEach-Object { $_.DistinguishedName })
foreach ($account in $accounts) {
    $dn = (Get-User -Identity $account -ErrorAction Stop).DistinguishedName
    if (-not ($holders -contains $dn)) {
        Save-Step 'role group member' $dn 'Postern impersonation' $null
        Add-RoleGroupMember -Identity 'Postern impersonation' -Member $dn -BypassSecurityGroupManagerCheck -ErrorAction Stop
    }
}
Write-Output 'Done. Exchange may take an hour to apply it everywhere. Then run the verification.'
