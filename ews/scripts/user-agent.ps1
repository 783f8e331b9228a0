{{template "head" .}}
$agent = {{quote .UserAgent}}
$entry = {{quote .AgentEntry}}
$accounts = {{list .Accounts}}
# Entries for the other clients that must go on working, such as 'Outlook-iOS/*'. Only when
# there are some is a list made where none is in force: an allow list refuses everybody else.
$others = @()
{{template "record" .}}
$config = Get-OrganizationConfig -ErrorAction Stop
if ($config.EwsApplicationAccessPolicy -eq 'EnforceAllowList') {
    if (@($config.EwsAllowList | Where-Object { $_ -and ($_ -eq $entry -or $agent -like $_) }).Count -eq 0) {
        Save-Step 'allow list' $entry $null $null
        Set-OrganizationConfig -EwsAllowList @{ Add = $entry } -ErrorAction Stop
        Write-Output 'The allow list of the organization has one entry more. Nothing else was changed.'
    } else {
        Write-Output 'The allow list of the organization lets Postern in already.'
    }
} elseif ($config.EwsApplicationAccessPolicy -eq 'EnforceBlockList') {
    $blocked = @($config.EwsBlockList | Where-Object { $_ -and $agent -like $_ })
    if ($blocked.Count -gt 0) {
        Write-Warning ('The block list of the organization refuses Postern by ' + $blocked[0] + '. Nothing was changed: take it out, or choose another User-Agent.')
    } else {
        Write-Output 'The organization has a block list, which does not name Postern. Nothing needs to be changed.'
    }
} elseif ($others.Count -eq 0) {
    Write-Output 'No filter by User-Agent is in force, so none needs to be changed.'
    Write-Warning 'None is switched on here: an allow list with this one entry would refuse every other client of EWS. The inventory shows what there is; name the other clients in $others and run this again.'
} else {
    Save-Step 'allow list in force' $entry $null $config.EwsApplicationAccessPolicy
    Set-OrganizationConfig -EwsApplicationAccessPolicy 'EnforceAllowList' -EwsAllowList (@($others) + @($entry)) -ErrorAction Stop
    Write-Output 'An allow list is in force now. Every client that is not on it is refused.'
}

# A list at the mailbox of the account goes before that of the organization.
foreach ($account in $accounts) {
    $cas = Get-CASMailbox -Identity $account -ErrorAction SilentlyContinue
    if ($cas -and $cas.EwsApplicationAccessPolicy -eq 'EnforceAllowList') {
        if (@($cas.EwsAllowList | Where-Object { $_ -and ($_ -eq $entry -or $agent -like $_) }).Count -eq 0) {
            Save-Step 'mailbox allow list' $entry $cas.DistinguishedName $null
            Set-CASMailbox -Identity $cas.DistinguishedName -EwsAllowList @{ Add = $entry } -ErrorAction Stop
            Write-Output 'The allow list of the account has one entry more.'
        }
    }
}
