package ews

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"postern/crm"
)

// A remedy says whom a fault concerns, and what to copy.
type remedy struct {
	who     crm.Audience
	fix     func(*check) string
	advice  string // in place of the fault's own, where that has commands in it, or only waits
	message string // in place of the fault's own, where that names no cause
}

const (
	toGrant = "Run the script grant, or verify to see what is missing, from Access → For the Exchange admin. It can take up to an hour until it works."
	toAllow = "See in the Exchange Management Shell which of the two it is, and put that right. It can take some minutes until it works."
)

// remedies by the code of the fault. What is not there concerns whom the step concerns.
var remedies = map[string]remedy{
	"server-malformed":    {who: crm.ForCRMAdmin, fix: settings("--server mail.example.com")},
	"host-malformed":      {who: crm.ForCRMAdmin, fix: settings("--server mail.example.com")},
	"dns-unknown":         {who: crm.ForCRMAdmin, fix: func(c *check) string { return "nslookup " + shellQuoted(c.host()) }},
	"dns-trouble":         {who: crm.ForOperator, advice: "See which name servers this machine is set to ask, and whether they answer.", fix: func(c *check) string { return "nslookup " + shellQuoted(c.host()) }},
	"address-not-allowed": {who: crm.ForOperator},
	"source-address-missing": {who: crm.ForOperator, fix: func(*check) string {
		return "ip address show            # what this machine has\npostern egress             # what it is to have"
	}},
	"no-source-address":     {who: crm.ForOperator, fix: func(*check) string { return "postern egress" }},
	"port-closed":           {who: crm.ForOperator, fix: (*check).reach},
	"unreachable":           {who: crm.ForOperator, fix: (*check).reach},
	"timeout":               {who: crm.ForOperator, fix: (*check).reach, message: dropped, advice: "Let the source addresses through to the port of the server, in the firewall of this side and in that of Exchange."},
	"network":               {who: crm.ForOperator, fix: (*check).reach, advice: "Try the same by hand from this machine, and see to what it says."},
	"torn-answer":           {who: crm.ForOperator, fix: (*check).torn, message: tornOff, advice: "See in the log of the firewall or proxy whether it ended the connection, and have it leave those to Exchange alone; else see why EWS stopped."},
	"tls-hung-up":           {who: crm.ForOperator, fix: (*check).chain},
	"tls-failed":            {who: crm.ForExchangeAdmin, fix: (*check).chain},
	"tls-name-wrong":        {who: crm.ForExchangeAdmin, fix: (*check).certificates},
	"tls-expired":           {who: crm.ForExchangeAdmin, fix: (*check).renew},
	"tls-expires-soon":      {who: crm.ForExchangeAdmin, fix: (*check).renew},
	"tls-unknown-authority": {who: crm.ForCRMAdmin, fix: (*check).trust},
	"front-forbids":         {who: crm.ForOperator, fix: (*check).reach},
	"not-exchange-web-page": {who: crm.ForCRMAdmin, fix: (*check).findURL},
	"logon-page":            {who: crm.ForCRMAdmin, fix: (*check).findURL},
	"no-ews-here":           {who: crm.ForCRMAdmin, fix: (*check).findURL},
	"owa-not-ews":           {who: crm.ForCRMAdmin, fix: (*check).findURL},
	"activesync-not-ews":    {who: crm.ForCRMAdmin, fix: (*check).findURL},
	"scheme-not-offered":    {who: crm.ForExchangeAdmin, fix: (*check).offer},
	"no-logon-scheme":       {who: crm.ForExchangeAdmin, fix: (*check).offer},
	"basic-offered": {who: crm.ForExchangeAdmin, fix: func(*check) string {
		return everyDirectory("-WindowsAuthentication $true") + "\n# unless another program needs it:\n" + "Get-WebServicesVirtualDirectory | Set-WebServicesVirtualDirectory -BasicAuthentication $false"
	}},
	"extended-protection-off": {who: crm.ForExchangeAdmin, fix: func(*check) string {
		return "Get-WebServicesVirtualDirectory | Format-List Identity, ExtendedProtectionTokenChecking\n# the script of Microsoft that sets it on all servers, https://aka.ms/ExchangeEPScript:\n.\\ExchangeExtendedProtectionManagement.ps1"
	}},
	"password-refused":               {who: crm.ForCRMAdmin, fix: settings("--login 'DOMAIN\\user' --password-file -")},
	"account-blocked":                {who: crm.ForExchangeAdmin, fix: func(c *check) string { return "Unlock-ADAccount -Identity " + psQuote(c.user()) }},
	"ErrorPasswordExpired":           {who: crm.ForExchangeAdmin, fix: (*check).password},
	"ErrorPasswordChangeRequired":    {who: crm.ForExchangeAdmin, fix: (*check).password},
	"ews-blocked":                    {who: crm.ForExchangeAdmin, fix: (*check).allow, advice: toAllow},
	"ews-forbidden":                  {who: crm.ForExchangeAdmin, fix: (*check).allow, advice: toAllow},
	"ErrorUserNotAllowedByPolicy":    {who: crm.ForExchangeAdmin, fix: (*check).allow, advice: toAllow},
	"ErrorOrganizationAccessBlocked": {who: crm.ForExchangeAdmin, fix: (*check).allow, advice: toAllow},
	"agent-blocked": {who: crm.ForExchangeAdmin, fix: func(c *check) string {
		return "Get-OrganizationConfig | Format-List EwsApplicationAccessPolicy, EwsBlockList\nSet-OrganizationConfig -EwsBlockList @{Remove=" + psQuote(c.Transport.UserAgent()) + "}"
	}},
	"version-older":       {who: crm.ForCRMAdmin, fix: func(c *check) string { return "postern settings --version " + c.server }},
	"version-unsupported": {who: crm.ForExchangeAdmin},
	"clock-skew": {who: crm.ForOperator, fix: func(*check) string {
		return "timedatectl status         # here\nw32tm /query /status       # on the Exchange server"
	}},
	"slow-server":                {who: crm.ForOperator},
	"ErrorImpersonateUserDenied": {who: crm.ForExchangeAdmin, fix: (*check).grant, advice: toGrant},
	"ErrorImpersonationDenied":   {who: crm.ForExchangeAdmin, fix: (*check).grant, advice: toGrant},
	"ErrorImpersonationFailed":   {who: crm.ForExchangeAdmin, fix: (*check).grant, advice: toGrant},
	"ErrorAccessDenied":          {who: crm.ForExchangeAdmin, fix: (*check).grant, advice: toGrant},
	"ErrorNonExistentMailbox":    {who: crm.ForCRMAdmin},
	"ErrorNonPrimarySmtpAddress": {who: crm.ForCRMAdmin},
	"wider-than-needed":          {who: crm.ForExchangeAdmin, fix: (*check).narrow},
	"autodiscover-confirm":       {who: crm.ForCRMAdmin},

	"stream-silent": streamHeldBack,
	"ErrorInvalidSyncStateData": {who: crm.ForExchangeAdmin, fix: (*check).balance, message: stateLost,
		advice: "Have the load balancer keep a client at one server, and bring all servers to the same build. After a move or a restore it passes by itself."},
	"ErrorSubscriptionAccessDenied":               {who: crm.ForExchangeAdmin, fix: (*check).grant, advice: toGrant},
	"ErrorSubscriptionDelegateAccessNotSupported": {who: crm.ForExchangeAdmin, fix: (*check).grant, advice: "A delegate cannot subscribe: let the account impersonate the mailboxes, or leave it at looking regularly."},
}

// Causes of what a source bears by trying again. Who runs the check asks where it comes from.
const (
	dropped   = "The server did not answer in time. A firewall that drops packets without a word looks like this."
	hangs     = "The server took the request and did not answer in time: its EWS hangs or is overloaded, or a device in between swallows the answer."
	tornOff   = "The connection broke off in the middle of the answer: a firewall, proxy or load balancer in between ended it, or EWS crashed on the server."
	stateLost = "Exchange does not know the state of reading that it gave a moment ago: the servers behind a load balancer differ, or the mailbox was just moved or restored."
)

// Remedies of silence, which is another thing in each step, and of what may pass.
var (
	// A stream is one answer that takes many minutes and comes in small pieces.
	streamHeldBack = remedy{who: crm.ForExchangeAdmin, fix: (*check).stream,
		message: "The connection for notifications fell silent: a proxy or load balancer in front of Exchange holds the answer back until it is whole, or drops a connection that is idle.",
		advice:  "Have what stands in front of Exchange pass each piece of an answer on at once, and keep idle connections for 5 minutes at least. Until then mailboxes are looked at regularly."}
	serverHangs = remedy{who: crm.ForExchangeAdmin, fix: (*check).health, message: hangs,
		advice: "Look at the state of the services, and recycle the application pool of EWS where it hangs."}
	passing = remedy{who: crm.ForExchangeAdmin, fix: (*check).health,
		advice: "Run the check again in some minutes. Where it stays, look at the state of the server and at the throttling policy of the account."}
)

// remedy finds the one for a finding.
func (c *check) remedy(f *crm.Finding) remedy {
	r, known := remedies[f.Fault.Code]
	switch {
	case f.Fault.Code == "timeout" && c.streams:
		return streamHeldBack
	case f.Fault.Code == "timeout" && !slices.Contains([]string{"dns", "connection", "tls"}, f.Code):
		return serverHangs
	case !known && f.Fault.Advice == itself:
		return passing
	}
	return r
}

// prescribe adds to a finding whom it concerns and what to copy.
func (c *check) prescribe(f *crm.Finding) {
	r := c.remedy(f)
	f.For = cmp.Or(r.who, f.For)
	told := *f.Fault
	told.Message, told.Advice = cmp.Or(r.message, told.Message), cmp.Or(r.advice, told.Advice)
	f.Fault = &told
	switch {
	case c.box != "" && f.Fault.Code == ownerOff:
		f.For = crm.ForExchangeAdmin
		f.Fault.Advice = "Switch EWS on for the mailbox, or leave it out of the policy."
		f.Fix = fmt.Sprintf("Get-CASMailbox -Identity %[1]s | Format-List Ews*\nSet-CASMailbox -Identity %[1]s -EwsEnabled $true", psQuote(string(c.box)))
	case f.Fault.Code == "wider-than-needed" && f.Code == "must-fail-agent":
		f.Fix = c.filter()
	case r.fix != nil:
		f.Fix = r.fix(c)
	}
}

func settings(flags string) func(*check) string {
	return func(*check) string { return "postern settings " + flags }
}

func (c *check) host() string {
	if c.src != nil {
		return c.src.host
	}
	return "HOST"
}

// user is the account's name without its domain.
func (c *check) user() string {
	account := cmp.Or(c.Settings.Login, "ACCOUNT")
	if _, user, ok := strings.Cut(account, `\`); ok {
		return user
	}
	return account
}

// shellQuoted is a text as a Unix shell takes it without looking into it.
func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (c *check) reach() string {
	if c.src == nil {
		return ""
	}
	return fmt.Sprintf("curl --verbose --user-agent %s %s", shellQuoted(c.Transport.UserAgent()), shellQuoted(c.src.client.url.String()))
}

// health shows how an Exchange server does, and whether it slows the account down.
func (c *check) health() string {
	return fmt.Sprintf(`Test-ServiceHealth
Get-ServerComponentState -Identity SERVER | Format-Table Component, State
Get-ThrottlingPolicyAssociation -Identity %s
# on the server, where EWS hangs:
Restart-WebAppPool MSExchangeServicesAppPool`, psQuote(c.user()))
}

// torn shows on which side a connection ends.
func (c *check) torn() string {
	return c.reach() + "\n# on the Exchange server, whether EWS crashed:\nGet-WinEvent -FilterHashtable @{LogName='System','Application'; Level=1,2; StartTime=(Get-Date).AddHours(-1)} | Format-List TimeCreated, ProviderName, Message"
}

// balance shows whether several servers answer under the name, and whether they are alike.
func (c *check) balance() string {
	return "nslookup " + shellQuoted(c.host()) + "\nGet-ExchangeServer | Format-Table Name, AdminDisplayVersion\nGet-MoveRequest | Format-Table DisplayName, Status"
}

// stream says what to set in front of Exchange so that notifications come through.
func (c *check) stream() string {
	return `# nginx, in the location of /EWS/:
proxy_buffering off;
proxy_read_timeout 35m;
# HAProxy, in the backend:
timeout server 35m
# IIS with Application Request Routing:
Set-WebConfigurationProperty -PSPath 'MACHINE/WEBROOT/APPHOST' -Filter system.webServer/proxy -Name responseBufferLimit -Value 0
Set-WebConfigurationProperty -PSPath 'MACHINE/WEBROOT/APPHOST' -Filter system.webServer/proxy -Name timeout -Value '00:35:00'`
}

func (c *check) chain() string {
	return fmt.Sprintf("openssl s_client -connect %s -servername %s </dev/null", shellQuoted(c.src.client.address()), shellQuoted(c.host()))
}

func (c *check) certificates() string {
	return "Get-ExchangeCertificate | Format-List Subject, CertificateDomains, NotAfter, Services, Thumbprint"
}

func (c *check) renew() string {
	return c.certificates() + "\n# after a new one was issued and imported:\nEnable-ExchangeCertificate -Thumbprint THUMBPRINT -Services IIS"
}

func (c *check) trust() string {
	return fmt.Sprintf("# the certificate of your authority, as whoever runs it hands it out, in PEM; the password is typed again, for whom it vouches may be shown it:\npostern settings --root-cas authority.pem --password-file -\n# what the server shows:\nopenssl s_client -showcerts -connect %s -servername %s </dev/null", shellQuoted(c.src.client.address()), shellQuoted(c.host()))
}

func (c *check) findURL() string {
	return "Get-WebServicesVirtualDirectory | Format-List Server, InternalUrl, ExternalUrl"
}

func everyDirectory(flags string) string {
	return "Get-WebServicesVirtualDirectory | Format-List Identity, *Authentication\nGet-WebServicesVirtualDirectory | Set-WebServicesVirtualDirectory " + flags
}

func (c *check) offer() string {
	if c.Settings.Scheme == crm.Basic {
		return everyDirectory("-BasicAuthentication $true")
	}
	return everyDirectory("-WindowsAuthentication $true")
}

func (c *check) password() string {
	return fmt.Sprintf("Set-ADAccountPassword -Identity %[1]s -Reset\nSet-ADUser -Identity %[1]s -ChangePasswordAtLogon $false", psQuote(c.user()))
}

// allow lets the account and the program use EWS. Both reasons for a refusal look alike
// from outside, so it begins with looking.
func (c *check) allow() string {
	who := c.user()
	if c.Settings.Model == crm.ByOwnSignIn && c.box != "" {
		who = string(c.box)
	}
	return fmt.Sprintf(`# Which of the two it is:
Get-OrganizationConfig | Format-List Ews*
Get-CASMailbox %[1]s | Format-List Ews*
# EwsEnabled is False:
Set-CASMailbox -Identity %[1]s -EwsEnabled $true
# EwsApplicationAccessPolicy is EnforceAllowList, and EwsAllowList lacks this program:
Set-OrganizationConfig -EwsAllowList @{Add=%[3]s}
# EwsApplicationAccessPolicy is EnforceBlockList, and EwsBlockList names this program:
Set-OrganizationConfig -EwsBlockList @{Remove=%[2]s}`, psQuote(who), psQuote(c.Transport.UserAgent()), psQuote(agentEntry(c.Transport.UserAgent())))
}

// fromAccess comes first where the scripts do what is to be done: what is copied from here
// fits what they make.
const fromAccess = "# Run %s from Access → For the Exchange admin: it notes what it changes, for the undo.\n"

// onlineRights shows what grant makes in Exchange Online.
const onlineRights = `Get-ManagementRoleAssignment -Role 'Application EWS.AccessAsApp' | Format-List Name, RoleAssigneeName, CustomResourceScope
Get-ManagementScope 'Postern mailboxes' | Format-List Name, RecipientFilter
`

// grant lets the account open the mailboxes.
func (c *check) grant() string {
	first := fmt.Sprintf(fromAccess, "grant, or verify to see what is missing,")
	user := psQuote(c.user())
	if c.Settings.Version == versionOnline {
		return first + onlineRights + "# The mailbox is not in the group:\nAdd-DistributionGroupMember -Identity " + psQuote(defaultGroup) + " -Member MAILBOX"
	}
	if c.Settings.Model == crm.ByDelegation {
		mapping := ""
		if versionIndex(c.Settings.Version) > versionIndex("Exchange2010") {
			mapping = " -AutoMapping $false"
		}
		return first + fmt.Sprintf("# It gives the account, for each member of the group:\nGet-MailboxPermission -Identity MAILBOX -User %[1]s\nAdd-MailboxPermission -Identity MAILBOX -User %[1]s -AccessRights FullAccess -InheritanceType All%[2]s", user, mapping)
	}
	if c.Settings.Version == version2007 {
		return first + fmt.Sprintf(`# It gives the account, at each Client Access server and at each member of the group:
Get-ClientAccessServer | ForEach-Object { Add-ADPermission -Identity $_.DistinguishedName -User %[1]s -ExtendedRights ms-Exch-EPI-Impersonation }
Add-ADPermission -Identity (Get-Mailbox MAILBOX).DistinguishedName -User %[1]s -ExtendedRights ms-Exch-EPI-May-Impersonate`, user)
	}
	return first + fmt.Sprintf(`# Who may impersonate whom now:
Get-ManagementRoleAssignment -Role ApplicationImpersonation -GetEffectiveUsers | Format-List Name, EffectiveUserName, CustomRecipientWriteScope
# What grant made: the role group with the account, the scope, and the group that the scope is of.
Get-RoleGroup 'Postern impersonation' | Format-List Name, Roles, Members
Get-ManagementScope 'Postern mailboxes' | Format-List Name, RecipientFilter
Get-DistributionGroupMember %[2]s
# The account is not in the role group:
Add-RoleGroupMember -Identity 'Postern impersonation' -Member %[1]s
# The mailbox is not in the group:
Add-DistributionGroupMember -Identity %[2]s -Member MAILBOX`, user, psQuote(defaultGroup))
}

// narrow takes from the account what is not needed.
func (c *check) narrow() string {
	first := fmt.Sprintf(fromAccess, "verify")
	first = strings.Replace(first, "it notes what it changes, for the undo", "it shows by what the account may do so", 1)
	user := psQuote(c.user())
	if c.Settings.Version == versionOnline {
		return first + onlineRights + "# full_access_as_app in Entra covers every mailbox, whatever the scope: remove it there."
	}
	if c.Settings.Model == crm.ByDelegation {
		return first + fmt.Sprintf("Get-MailboxPermission -Identity %[1]s | Where-Object User -like %[3]s\nRemove-MailboxPermission -Identity %[1]s -User %[2]s -AccessRights FullAccess", psQuote(string(c.Outside)), user, psQuote("*"+c.user()+"*"))
	}
	if c.Settings.Version == version2007 {
		return first + fmt.Sprintf("# A right at a database covers every mailbox in it. Those that grant set at the mailboxes of the group stay:\nGet-MailboxDatabase | Get-ADPermission -User %[1]s\nGet-MailboxDatabase | Remove-ADPermission -User %[1]s -ExtendedRights ms-Exch-EPI-May-Impersonate", user)
	}
	return first + fmt.Sprintf(`# By which assignments the account may do so:
Get-ManagementRoleAssignment -Role ApplicationImpersonation -GetEffectiveUsers | Where-Object EffectiveUserName -like %[1]s | Format-List Name, RoleAssigneeName, CustomRecipientWriteScope
# One of the role group 'Postern impersonation', without the scope that grant makes:
Get-ManagementRoleAssignment -RoleAssignee 'Postern impersonation' -Role ApplicationImpersonation | Set-ManagementRoleAssignment -CustomRecipientWriteScope 'Postern mailboxes'
# One of another name: after grant was run the account does not need it. See who else is in it before it is taken away:
Remove-ManagementRoleAssignment -Identity NAME
# The mailbox is in the group, and is not to be:
Remove-DistributionGroupMember -Identity %[2]s -Member %[3]s`, psQuote("*"+c.user()+"*"), psQuote(defaultGroup), psQuote(string(c.Outside)))
}

// filter lets no other program in. An allow list refuses everybody who is not on it, so that
// none is put in force by what is copied from here: our entry alone would shut all others out.
func (c *check) filter() string {
	return fmt.Sprintf(`# Run user-agent from Access → For the Exchange admin, with the other programs that use EWS in its $others.
# Who is let in now:
Get-OrganizationConfig | Format-List EwsApplicationAccessPolicy, EwsAllowList, EwsBlockList
# Where EwsApplicationAccessPolicy is EnforceAllowList: take out the entries that let too much in, such as '*', and have Postern's there:
Set-OrganizationConfig -EwsAllowList @{Add=%s}`, psQuote(agentEntry(c.Transport.UserAgent())))
}
