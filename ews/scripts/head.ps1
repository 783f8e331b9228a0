{{define "head"}}# Postern: {{.Title}}.
# {{.Says}}
# Run it in {{.Shell}}.{{if not .Reads}} It may be run again.{{end}}
# Save it as a file and run that, after Unblock-File where it was downloaded. Do not paste it line
# by line: what stops a script does not stop what was pasted after it.
$ErrorActionPreference = 'Stop'
{{end}}

{{define "record"}}
# What is about to be changed is noted in this file, and how it was: the undo goes by it.
$file = Join-Path $HOME 'Postern-undo.xml'
$steps = @()
if (Test-Path -Path $file) { $steps = @(Import-Clixml -Path $file -ErrorAction Stop) }

# The first note about a thing stays: a second run must not take our own work for what was
# there before.
function Save-Step($what, $of, $at, $was) {
    $known = @($steps | Where-Object { $_.what -eq $what -and $_.of -eq $of -and $_.at -eq $at })
    if ($known.Count -eq 0) {
        $script:steps = @($steps) + @(@{ what = $what; of = $of; at = $at; was = $was })
        $script:steps | Export-Clixml -Path $file -Depth 5 -ErrorAction Stop
    }
}
{{end}}

{{define "find-group"}}
# A read by name that brings nothing may have failed. Only a list that came whole shows that there
# is no such group.
function Find-Group($name) {
    $found = @(Get-DistributionGroup -Identity $name -ErrorAction SilentlyContinue)
    if ($found.Count -eq 0) { $found = @(Get-DistributionGroup -ResultSize Unlimited -ErrorAction Stop | Where-Object { $_.Name -eq $name -or $_.DistinguishedName -eq $name }) }
    $found
}
{{end}}

{{define "group"}}{{template "find-group"}}
# The group of the mailboxes that may be opened. Nobody can join it without its owner.
$found = @(Find-Group $group)
if ($found.Count -eq 0) {
    Save-Step 'group' $group $null $null
    {{if .Is2007 -}}
    $found = @(New-DistributionGroup -Name $group -SamAccountName $group -Type 'Security' -ErrorAction Stop)
    {{- else -}}
    $found = @(New-DistributionGroup -Name $group -Type 'Security' -MemberJoinRestriction 'Closed' -MemberDepartRestriction 'Closed' -ErrorAction Stop)
    {{- end}}
}
if ($found.Count -ne 1) { throw 'Exchange does not show one group of that name: look at Get-DistributionGroup.' }
$groupDN = $found[0].DistinguishedName
$members = @(Get-DistributionGroupMember -Identity $groupDN -ResultSize Unlimited -ErrorAction Stop | ForEach-Object { $_.DistinguishedName })
foreach ($mailbox in $mailboxes) {
    $dn = (Get-Mailbox -Identity $mailbox -ErrorAction Stop).DistinguishedName
    if (-not ($members -contains $dn)) {
        Save-Step 'member' $dn $groupDN $null
        Add-DistributionGroupMember -Identity $groupDN -Member $dn{{if not .Is2007}} -BypassSecurityGroupManagerCheck{{end}} -ErrorAction Stop
    }
}
if ($members.Count + $mailboxes.Count -eq 0) { Write-Warning 'The group has no members yet: add the mailboxes that Postern may read.' }
{{end}}

{{define "scope"}}
# The scope: direct members of that group. A member of a group within it is not in it.
$filter = "MemberOfGroup -eq '" + $groupDN.Replace("'", "''") + "'"
$scopes = @(Get-ManagementScope -ErrorAction Stop | Where-Object { $_.Name -eq 'Postern mailboxes' })
if ($scopes.Count -eq 0) {
    Save-Step 'scope' 'Postern mailboxes' $null $null
    New-ManagementScope -Name 'Postern mailboxes' -RecipientRestrictionFilter $filter -ErrorAction Stop | Out-Null
} elseif (-not $scopes[0].RecipientFilter.Contains($groupDN.Replace("'", "''"))) {
    throw 'The scope "Postern mailboxes" is that of another group. Run the undo first.'
}
{{end}}
