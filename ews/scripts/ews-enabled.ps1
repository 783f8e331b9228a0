{{template "head" .}}
$accounts = {{list .Accounts}}
{{template "record" .}}
# Only the account that logs on needs EWS. The mailboxes that it reads may have it switched off.
foreach ($account in $accounts) {
    $cas = Get-CASMailbox -Identity $account -ErrorAction SilentlyContinue
    if (-not $cas) {
        Write-Output 'An account has no mailbox, so there is no switch to set for it.'
    } elseif ($cas.EwsEnabled -ne $true) {
        Save-Step 'EwsEnabled' $cas.DistinguishedName $null $cas.EwsEnabled
        Set-CASMailbox -Identity $cas.DistinguishedName -EwsEnabled $true -ErrorAction Stop
        Write-Output 'EWS is switched on for an account.'
    } else {
        Write-Output 'EWS is on already for an account.'
    }
}
