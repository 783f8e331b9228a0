{{template "head" .}}
$group = {{quote .Group}}
$accounts = {{list .Accounts}}
$mailboxes = {{list .Mailboxes}}
if ($accounts.Count -eq 0) { throw 'Enter the account that Postern logs on with in $accounts.' }
{{template "record" .}}{{template "group" .}}
# The right is set at each mailbox of the group. Run this again when the group has new members.
# Exchange knows no right to read a whole mailbox and no more; Postern makes no use of the rest.
foreach ($account in $accounts) {
    $who = (Get-User -Identity $account -ErrorAction Stop).DistinguishedName
    foreach ($member in @(Get-DistributionGroupMember -Identity $groupDN -ResultSize Unlimited -ErrorAction Stop)) {
        $dn = $member.DistinguishedName
        $held = @(Get-MailboxPermission -Identity $dn -User $who -ErrorAction Stop | Where-Object { -not $_.IsInherited -and "$($_.AccessRights)" -like '*FullAccess*' })
        if ($held.Count -eq 0) {
            Save-Step 'full access' $dn $who $null
            Add-MailboxPermission -Identity $dn -User $who -AccessRights 'FullAccess' -InheritanceType 'All'{{if .AutoMapping}} -AutoMapping $false{{end}} -ErrorAction Stop | Out-Null
        }
    }
}
Write-Output 'Done. Exchange may take an hour to apply it everywhere. Then run the verification.'
