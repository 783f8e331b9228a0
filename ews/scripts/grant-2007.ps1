{{template "head" .}}
$group = {{quote .Group}}
$accounts = {{list .Accounts}}
$mailboxes = {{list .Mailboxes}}
if ($accounts.Count -eq 0) { throw 'Enter the account that Postern logs on with in $accounts.' }
{{template "record" .}}{{template "group" .}}
# Exchange 2007 knows no scopes: the right is set at each mailbox of the group. Run this again
# when the group has new members.
function Add-Right($dn, $account, $right) {
    $held = @(Get-ADPermission -Identity $dn -User $account -ErrorAction Stop | Where-Object { -not $_.IsInherited -and "$($_.ExtendedRights)" -like ('*' + $right + '*') })
    if ($held.Count -eq 0) {
        Save-Step $right $dn $account $null
        Add-ADPermission -Identity $dn -User $account -ExtendedRights $right -ErrorAction Stop | Out-Null
    }
}
foreach ($account in $accounts) {
    $who = (Get-User -Identity $account -ErrorAction Stop).DistinguishedName
    foreach ($server in @(Get-ClientAccessServer -ErrorAction Stop)) {
        Add-Right $server.DistinguishedName $who 'ms-Exch-EPI-Impersonation'
    }
    foreach ($member in @(Get-DistributionGroupMember -Identity $groupDN -ResultSize Unlimited -ErrorAction Stop)) {
        Add-Right $member.DistinguishedName $who 'ms-Exch-EPI-May-Impersonate'
    }
}
Write-Output 'Done. Exchange may take an hour to apply it everywhere. Then run the verification.'
