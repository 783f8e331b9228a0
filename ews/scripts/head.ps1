{{define "head"}}# Postern: {{.Title}}.
# {{.Says}}
# Run it in {{.Shell}}.{{if not .Reads}} It may be run again.{{end}}
$ErrorActionPreference = 'Stop'
{{end}}

{{define "record"}}
# What is about to be changed is noted in this file, and how it was: the undo goes by it.
$file = Join-Path $HOME 'Postern-undo.xml'
$steps = @()
if (Test-Path -Path $file) { $steps = @(Import-Clixml -Path $file) }

# The first note about a thing stays: a second run must not take our own work for what was
# there before.
function Save-Step($what, $of, $at, $was) {
    $known = @($steps | Where-Object { $_.what -eq $what -and $_.of -eq $of -and $_.at -eq $at })
    if ($known.Count -eq 0) {
        $script:steps = @($steps) + @(@{ what = $what; of = $of; at = $at; was = $was })
        $script:steps | Export-Clixml -Path $file -Depth 5
    }
}
{{end}}

{{define "group"}}
# The group of the mailboxes that may be opened. Nobody can join it without its owner.
if (-not (Get-DistributionGroup -Identity $group -ErrorAction SilentlyContinue)) {
    Save-Step 'group' $group $null $null
    {{if .Is2007 -}}
    New-DistributionGroup -Name $group -SamAccountName $group -Type 'Security' | Out-Null
    {{- else -}}
    New-DistributionGroup -Name $group -Type 'Security' -MemberJoinRestriction 'Closed' -MemberDepartRestriction 'Closed' | Out-Null
    {{- end}}
}
$members = @(Get-DistributionGroupMember -Identity $group -ResultSize Unlimited | ForEach-Object { $_.DistinguishedName })
foreach ($mailbox in $mailboxes) {
    $dn = (Get-Mailbox -Identity $mailbox).DistinguishedName
    if (-not ($members -contains $dn)) {
        Save-Step 'member' $dn $group $null
        Add-DistributionGroupMember -Identity $group -Member $dn{{if not .Is2007}} -BypassSecurityGroupManagerCheck{{end}}
    }
}
if ($members.Count + $mailboxes.Count -eq 0) { Write-Warning 'The group has no members yet: add the mailboxes that Postern may read.' }
{{end}}

{{define "scope"}}
# The scope: direct members of that group. A member of a group within it is not in it.
$dn = (Get-DistributionGroup -Identity $group).DistinguishedName
$filter = "MemberOfGroup -eq '" + $dn.Replace("'", "''") + "'"
$scope = Get-ManagementScope -Identity 'Postern mailboxes' -ErrorAction SilentlyContinue
if (-not $scope) {
    Save-Step 'scope' 'Postern mailboxes' $null $null
    New-ManagementScope -Name 'Postern mailboxes' -RecipientRestrictionFilter $filter | Out-Null
} elseif (-not $scope.RecipientFilter.Contains($dn.Replace("'", "''"))) {
    throw 'The scope "Postern mailboxes" is that of another group. Run the undo first.'
}
{{end}}
