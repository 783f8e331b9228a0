{{template "head" .}}
$apps = {{list .AppIDs}}
# Application IDs of the others that must go on working. Only when there are some is a list made
# where there is none: it refuses everybody else.
$others = @()
if ($apps.Count -eq 0) { throw 'Enter the application (client) ID of Postern in $apps.' }
{{template "record" .}}
$config = Get-OrganizationConfig -RetrieveEwsOperationAccessPolicy -ErrorAction Stop
$listed = @("$($config.EwsAllowedAppIDs)".Split(',') | ForEach-Object { $_.Trim() } | Where-Object { $_ -ne '' })
if ($listed.Count -eq 0 -and $others.Count -eq 0) {
    Write-Warning 'There is no list of applications. None is made here: with this one entry it would refuse every other application. Name the others in $others and run this again.'
} else {
    # The cmdlet writes the whole list, so it is read first and written with what is new.
    $next = $listed
    foreach ($app in (@($others) + @($apps))) {
        if (-not ($next -contains $app)) {
            Save-Step 'application' $app $null $null
            $next = @($next) + @($app)
        }
    }
    if ($next.Count -ne $listed.Count) {
        Set-OrganizationConfig -EwsAllowedAppIDs ($next -join ',') -ErrorAction Stop
        Write-Output 'The list of applications has new entries. Exchange Online may take a day to apply it.'
    } else {
        Write-Output 'The list of applications has Postern already.'
    }
}
if ($config.EwsEnabled -ne $true) {
    Write-Warning 'EWS is not switched on for the organization, and Exchange Online refuses it until it is: Set-OrganizationConfig -EwsEnabled $true. That is for you to decide.'
}
