package ews

import (
	"cmp"
	"embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"unicode"

	"postern/crm"
	"postern/mail"
)

// What an Exchange administrator runs to let Postern in, to see what that opens, and to
// undo it: the scripts are the files of the folder "scripts", with the names of the
// customer put in. They are made to be read. Three rules hold in all of them:
//
//   - Whatever a person typed stands between single quotes, at the top, and nowhere else.
//   - Nothing is replaced: entries are added to what is there, and what would shut another
//     client out is refused.
//   - Each step is noted before it is taken, with what was there before. The undo goes by
//     these notes, so it takes back what was done here. What others added meanwhile to a
//     group or a list that was made here goes with it.
//
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/how-to-configure-impersonation
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/how-to-control-access-to-ews-in-exchange
// https://learn.microsoft.com/exchange/permissions-exo/application-rbac

//go:embed scripts/*.ps1
var scriptFiles embed.FS

var scriptTemplates = template.Must(template.New("").Funcs(template.FuncMap{"quote": psQuote, "list": psList}).ParseFS(scriptFiles, "scripts/*.ps1"))

// defaultGroup is the group of the mailboxes when none is named.
const defaultGroup = "Postern mailboxes"

// A scriptText is what a script is made of.
type scriptText struct {
	crm.Script
	Shell     string // where to run it
	Group     string
	Accounts  []string // logins that Postern uses
	Mailboxes []string // those that the policy lists by address
	Patterns  bool     // it allows others by patterns or groups
	AppIDs    []string
	UserAgent string
	// AgentEntry lets the User-Agent pass an allow list, in all its versions.
	AgentEntry string

	Is2007, Online bool
	RoleGroups     bool // 2010 and later, on premises
	AutoMapping    bool // from 2010 SP1 on, Outlook opens what one has full access to, unless told not to
	Delegate, Own  bool
}

// scripts returns what is to be run for a permit, in the order in which it is run.
func scripts(p crm.Permit) []crm.Script {
	base := scriptText{
		Shell: "the Exchange Management Shell, as a member of Organization Management", Group: cmp.Or(strings.TrimSpace(p.Group), defaultGroup),
		Mailboxes: listedMailboxes(p.Policy), UserAgent: cmp.Or(p.Settings.UserAgent, crm.DefaultUserAgent),
		Is2007: p.Settings.Version == version2007, Online: p.Settings.Version == versionOnline,
		AutoMapping: versionIndex(p.Settings.Version) > versionIndex("Exchange2010"),
		Delegate:    p.Settings.Model == crm.ByDelegation, Own: p.Settings.Model == crm.ByOwnSignIn,
	}
	base.Patterns = len(base.Mailboxes) < len(p.Policy.Allow)
	base.RoleGroups = !base.Is2007 && !base.Online
	if base.Online {
		base.Shell = "Exchange Online PowerShell (Connect-ExchangeOnline), as a member of Organization Management"
	} else if !base.Own {
		base.Accounts = p.Settings.Logins()
	}
	for _, id := range p.AppIDs {
		if appID.MatchString(id) {
			base.AppIDs = append(base.AppIDs, id)
		}
	}
	base.AgentEntry = agentEntry(base.UserAgent)
	var list []crm.Script
	add := func(file string, s crm.Script) {
		text := base
		text.Script = s
		var b strings.Builder
		if err := scriptTemplates.ExecuteTemplate(&b, file+".ps1", text); err != nil {
			panic(fmt.Sprintf("script %s: %v", file, err)) // a mistake in the file, which any test meets
		}
		s.Text = strings.TrimSpace(blankLines.ReplaceAllString(b.String(), "\n\n")) + "\n"
		list = append(list, s)
	}
	add("inventory", crm.Script{Name: "inventory", Title: "What there is", Reads: true,
		Says: "Shows who may use EWS and act as others already. It changes nothing."})
	if grant := base.grant(); grant != "" {
		add(grant, crm.Script{Name: "grant", Title: "Grant", Says: base.grantSays()})
	}
	if !base.Is2007 {
		add("user-agent", crm.Script{Name: "user-agent", Title: "Filter by User-Agent",
			Says: "Adds Postern's User-Agent to the allow list where one is in force. It replaces nothing. A list that it made is taken away whole by the undo, with what others added to it meanwhile."})
	}
	if len(base.Accounts) > 0 && base.RoleGroups {
		add("ews-enabled", crm.Script{Name: "ews-enabled", Title: "EWS for the account",
			Says: "Switches EWS on for the account that Postern logs on with, and for nobody else."})
	}
	if base.Online {
		add("allowed-apps", crm.Script{Name: "allowed-apps", Title: "List of applications",
			Says: "Adds Postern to the applications that may use EWS. It replaces nothing."})
	}
	add("verify", crm.Script{Name: "verify", Title: "Verification", Reads: true,
		Says: "Shows what is permitted now, and warns of what is more than needed. It changes nothing."})
	add("undo", crm.Script{Name: "undo", Title: "Undo",
		Says: base.undoSays()})
	return list
}

// grant names the file of the grant; "" = the users log on themselves, and there is none.
func (t *scriptText) grant() string {
	switch {
	case t.Online:
		return "grant-online"
	case t.Own:
		return ""
	case t.Delegate:
		return "grant-delegate"
	case t.Is2007:
		return "grant-2007"
	}
	return "grant-impersonation"
}

func (t *scriptText) grantSays() string {
	switch {
	case t.Online:
		return "Lets the application open the mailboxes of one group, and no others."
	case t.Delegate:
		return "Gives the account full access to the mailboxes of one group, and to no others."
	}
	return "Lets the account act as the members of one group, and as nobody else."
}

func (t *scriptText) undoSays() string {
	made := "A group or an allow list"
	if t.Is2007 {
		made = "A group"
	}
	return "Takes back what these scripts did from this account on this machine, the last step first. " + made + " that they made goes whole, with what others added to it meanwhile."
}

// listedMailboxes are those that a policy allows by their addresses.
func listedMailboxes(p crm.Policy) []string {
	var list []string
	for _, s := range p.Allow {
		if a, err := mail.ParseAddress(string(s)); err == nil && !strings.Contains(string(a), "*") {
			list = append(list, string(a))
		}
	}
	return list
}

var (
	appID      = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	blankLines = regexp.MustCompile(`\n{3,}`)
)

// agentEntry is the entry of an allow list for all versions of a User-Agent: Exchange
// compares the beginning.
func agentEntry(agent string) string {
	if product, _, ok := strings.Cut(agent, "/"); ok && product != "" {
		return product + "/*"
	}
	return agent + "*"
}

// psQuote writes a text as a PowerShell string in which nothing has a meaning. PowerShell
// takes typographic quotes for straight ones, and ends a string at any of them unless it is
// doubled. Line ends and other control characters, which no name has, are left out.
//
// https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_quoting_rules
func psQuote(text string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range text {
		switch {
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			continue
		case strings.ContainsRune("'\u2018\u2019\u201a\u201b", r):
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}

// psList writes texts as a PowerShell array.
func psList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = psQuote(text)
	}
	return "@(" + strings.Join(quoted, ", ") + ")"
}
