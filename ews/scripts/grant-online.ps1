{{template "head" .}}
$group = {{quote .Group}}
$apps = {{list .AppIDs}}
$mailboxes = {{list .Mailboxes}}
if ($apps.Count -eq 0) { throw 'Enter the application (client) ID of Postern in $apps.' }
{{template "record" .}}{{template "group" .}}{{template "scope" .}}
# The right of the application, for the mailboxes in the scope. The application must be known
# to Exchange Online; Get-MgServicePrincipal needs Connect-MgGraph -Scopes Application.Read.All.
foreach ($app in $apps) {
    if (@(Get-ServicePrincipal -ErrorAction Stop | Where-Object { $_.AppId -eq $app }).Count -eq 0) {
        $enterprise = Get-MgServicePrincipal -Filter ("appId eq '" + $app + "'") -ErrorAction Stop
        Save-Step 'service principal' $app $null $null
        New-ServicePrincipal -AppId $app -ObjectId $enterprise.Id -DisplayName 'Postern' -ErrorAction Stop | Out-Null
    }
    $name = 'Postern access ' + $app
    if (@(Get-ManagementRoleAssignment -Role 'Application EWS.AccessAsApp' -ErrorAction Stop | Where-Object { $_.Name -eq $name }).Count -eq 0) {
        Save-Step 'role assignment' $name $null $null
        New-ManagementRoleAssignment -Name $name -App $app -Role 'Application EWS.AccessAsApp' -CustomResourceScope 'Postern mailboxes' -ErrorAction Stop | Out-Null
    }
}
Write-Output 'Done. Exchange Online may take two hours to apply it. Then run the verification.'
Write-Warning 'Rights add up: as long as the application also has full_access_as_app in Entra, the scope narrows nothing. Remove that permission there.'
