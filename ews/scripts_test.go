package ews

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/crm"
)

// hostile are names that break out of strings that are quoted carelessly.
var hostile = []string{
	"Postern mailboxes",
	`O'Brien's "team" $(Remove-Mailbox -Identity *) ; # ` + "`n",
	"typographic \u2018 \u2019 \u201a \u201b \u201c\u201d quotes'; Remove-Mailbox *",
	"'", "\u2019", `'@; @'`, "$env:PATH", "%{{quote}} @{ } | & < > \\",
	"日本語 Ünïcödé \U0001f600",
}

// permits are what scripts are made for: each version and model, with hostile names in turn.
func permits(yield func(name string, p crm.Permit) bool) {
	n := 0
	for _, v := range versions {
		for _, model := range []crm.AuthModel{crm.ByImpersonation, crm.ByDelegation, crm.ByOwnSignIn} {
			for range 3 {
				bad := hostile[n%len(hostile)]
				p := crm.Permit{
					Settings: crm.Settings{Version: v.name, Model: model, Login: `ACME\svc ` + bad, UserAgent: "Agent " + bad + "/1.0",
						Others: []crm.Account{{Login: bad + "@acme.example"}}},
					Policy: crm.Policy{Allow: []crm.Selector{"ann@acme.example", "o'brien@acme.example", "*@sales.acme.example", "group:crm@acme.example"}},
					Group:  bad, AppIDs: []string{"11111111-2222-3333-4444-555555555555", bad},
				}
				if n++; !yield(fmt.Sprintf("%s/%s/%d", v.name, model, n), p) {
					return
				}
			}
		}
	}
}

// A psJob is scripts to parse, and those of order to run in an Exchange.
type psJob struct {
	Scripts map[string]string `json:"scripts"`
	State   psState           `json:"state"`
	Order   []string          `json:"order"`
	Cut     *int              `json:"cut,omitempty"`  // sessions but that of the undo break off after so many changes
	Late    bool              `json:"late,omitempty"` // the next change is done nevertheless
	Fail    *psFail           `json:"fail,omitempty"`
}

// A psFail is a cmdlet that fails: in the first undo, or in all that comes before it.
type psFail struct {
	Cmdlet string `json:"cmdlet"`
	Silent bool   `json:"silent,omitempty"` // it does nothing and says nothing
	Undo   bool   `json:"undo,omitempty"`
}

type psState map[string]any

type psResult struct {
	Errors   map[string][]string    `json:"errors"`
	Commands map[string][]psCommand `json:"commands"` // of each script
	Runs     []psRun                `json:"runs"`
	State    psState                `json:"state"`
}

// A psCommand is a call of a cmdlet, with its -ErrorAction.
type psCommand struct{ Name, Action string }

type psRun struct {
	Name, Error          string
	Output, Trace, Shown []string
	Met                  int // calls of the cmdlet that fails
	Notes                int // left for the undo
}

func psJobOf(p crm.Permit, state psState, order ...string) psJob {
	job := psJob{Scripts: map[string]string{}, State: state}
	for _, s := range scripts(p) {
		job.Scripts[s.Name] = s.Text
	}
	for _, name := range order {
		if job.Scripts[name] != "" {
			job.Order = append(job.Order, name)
		}
	}
	return job
}

// powershell has all jobs done, by a parser of PowerShell and an interpreter on top of it.
func powershell(t *testing.T, jobs []psJob) []psResult {
	t.Helper()
	if err := preparePowershell(); err != nil {
		if os.Getenv("POSTERN_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no PowerShell parser: %v", err)
	}
	in, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--liftoff-only", "run.js") // to compile the grammar any further takes a minute
	cmd.Dir, cmd.Stdin = powershellDir, bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var results []psResult
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(jobs) {
		t.Fatalf("%d results of %d jobs, %v", len(results), len(jobs), err)
	}
	return results
}

var powershellDir = filepath.Join("testdata", "powershell")

func preparePowershell() error {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(powershellDir, "node_modules")); err == nil {
		return nil
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir = powershellDir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
}

func TestScriptsParse(t *testing.T) {
	var names []string
	var jobs []psJob
	for name, p := range permits {
		names, jobs = append(names, name), append(jobs, psJobOf(p, nil))
	}
	for i, r := range powershell(t, jobs) {
		for script, where := range r.Errors {
			t.Errorf("%s: %s does not parse: %q", names[i], script, where)
		}
		for script, commands := range r.Commands {
			for _, c := range unstopped(script, commands) {
				t.Errorf("%s: %s: %s has -ErrorAction %q", names[i], script, c.Name, c.Action)
			}
		}
	}
	t.Logf("%d sets of scripts", len(jobs))

	// The parser finds what is wrong.
	broken := powershell(t, []psJob{{Scripts: map[string]string{
		"brace": "if ($a) { Get-Mailbox", "quote": "$a = 'O'Brien'", "typographic": "$a = 'O\u2019Brien'", "operator": "$a = (1 + )", "line": "$a = 'two\nlines'",
		"good": "$a = 'O''Brien O\u2019\u2019Brien'",
	}}})[0].Errors
	for _, name := range []string{"brace", "quote", "typographic", "operator", "line"} {
		if len(broken[name]) == 0 {
			t.Errorf("the parser takes %s for PowerShell", name)
		}
	}
	if len(broken["good"]) > 0 {
		t.Errorf("the parser refuses good quoting: %q", broken["good"])
	}
}

var psChanges = regexp.MustCompile(`^(New|Set|Add|Remove|Enable|Disable|Update|Export|Import)-`)

// unstopped are the commands of a script whose failure would go unnoticed, where the cmdlets
// are proxies of a remote session, which do not see the script's preference. A read may say
// that it goes on; nothing that changes may.
func unstopped(script string, commands []psCommand) (list []psCommand) {
	for _, c := range commands {
		changes := psChanges.MatchString(c.Name)
		decides := strings.HasPrefix(c.Name, "Get-") && script != "inventory" && script != "verify"
		if changes && c.Action != "Stop" || decides && c.Action != "Stop" && c.Action != "SilentlyContinue" {
			list = append(list, c)
		}
	}
	return list
}

func TestUnstoppedCommandsAreFound(t *testing.T) {
	commands := powershell(t, []psJob{{Scripts: map[string]string{
		"grant": "function Add-It($a) { Add-One -Member $a }\nAdd-It 1\nif ($b) { New-Two -Name 'x' -ErrorAction SilentlyContinue | Out-Null }\nSet-Three -ErrorAction Stop\n$c = @(Get-Four | Where-Object { $_ })",
	}}})[0].Commands["grant"]
	if got := fmt.Sprint(unstopped("grant", commands)); got != "[{Add-One } {New-Two SilentlyContinue} {Get-Four }]" {
		t.Errorf("got %s of %v", got, commands)
	}
}

// What a person typed stands at the top of a script, in a line that gives it a name.
func TestScriptsNameWhatWasTypedOnce(t *testing.T) {
	for name, p := range permits {
		for _, s := range scripts(p) {
			for line := range strings.Lines(s.Text) {
				typed := slices.ContainsFunc([]string{"svc", "@acme.example", "= 'Agent ", "Remove-Mailbox "}, func(word string) bool { return strings.Contains(line, word) })
				if typed && !strings.HasPrefix(line, "$group = '") && !strings.HasPrefix(line, "$accounts = @('") && !strings.HasPrefix(line, "$mailboxes = @('") &&
					!strings.HasPrefix(line, "$agent = '") && !strings.HasPrefix(line, "$entry = '") {
					t.Fatalf("%s: %s: %s", name, s.Name, line)
				}
			}
			if strings.ContainsAny(s.Text, "\r\x00\u0085") {
				t.Errorf("%s: %s has a control character", name, s.Name)
			}
		}
	}
}

func TestScriptsOfAVersion(t *testing.T) {
	for version, want := range map[string]string{
		version2007:   "inventory grant verify undo",
		"ExchangeSE":  "inventory grant user-agent ews-enabled verify undo",
		versionOnline: "inventory grant user-agent allowed-apps verify undo",
	} {
		p := crm.Permit{Settings: crm.Settings{Version: version, Login: `ACME\svc`}}
		var names []string
		for _, s := range scripts(p) {
			names = append(names, s.Name)
			if s.Title == "" || s.Says == "" || s.Reads != (s.Name == "inventory" || s.Name == "verify") {
				t.Errorf("%s: %+v", version, s)
			}
			changes := regexp.MustCompile(`(^|\s)(New|Set|Add|Remove)-`).MatchString(regexp.MustCompile(`'[^'\n]*'|"[^"\n]*"`).ReplaceAllString(s.Text, "''"))
			if changes == s.Reads {
				t.Errorf("%s: %s changes something: %v", version, s.Name, changes)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: got %q, want %q", version, got, want)
		}
	}
}

// An account of the customer's Exchange before Postern came.
func psExchange(p crm.Permit, variant string) psState {
	dn := func(name string) string { return "CN=" + name + ",DC=acme,DC=example" }
	person := func(name string, aliases ...string) map[string]any {
		return map[string]any{"Name": name, "DistinguishedName": dn(name), "Aliases": aliases, "Mailbox": true, "PrimarySmtpAddress": name}
	}
	cas := func(name string, enabled any, aliases ...string) map[string]any {
		return map[string]any{"Name": name, "DistinguishedName": dn(name), "Aliases": aliases, "EwsEnabled": enabled, "EwsApplicationAccessPolicy": nil,
			"EwsAllowList": []any{}, "EwsBlockList": []any{}}
	}
	config := map[string]any{"Name": "acme", "EwsEnabled": true, "EwsApplicationAccessPolicy": nil, "EwsAllowList": []any{}, "EwsBlockList": []any{}, "EwsAllowedAppIDs": nil}
	state := psState{
		"files": map[string]any{}, "config": config, "assignments": []any{}, "servicePrincipals": []any{}, "mailboxPermissions": []any{}, "directoryPermissions": []any{},
		"objects": []any{person("Ann", "ann@acme.example"), person("O'Brien, Pat", "o'brien@acme.example"), person("Zed", "zed@acme.example"),
			person("service 1", p.Settings.Login), person("service 2", p.Settings.Others[0].Login), map[string]any{"Name": "CAS1", "DistinguishedName": dn("CAS1"), "Server": true}},
		"cas":        []any{cas("service 1", false, p.Settings.Login), cas("Ann", nil, "ann@acme.example")},
		"groups":     []any{map[string]any{"Name": "Board", "DistinguishedName": dn("Board"), "Members": []any{dn("Zed")}}},
		"scopes":     []any{map[string]any{"Name": "Another scope", "RecipientFilter": "City -eq 'Oslo'"}},
		"roleGroups": []any{map[string]any{"Name": "Discovery", "Roles": []any{"ApplicationImpersonation"}, "Scope": "Another scope", "Members": []any{dn("Zed")}}},
	}
	switch variant {
	case "allow list":
		config["EwsApplicationAccessPolicy"], config["EwsAllowList"] = "EnforceAllowList", []any{"OtherCRM/*", "Outlook-iOS/*"}
		config["EwsAllowedAppIDs"] = "aaaaaaaa-2222-3333-4444-555555555555,bbbbbbbb-2222-3333-4444-555555555555"
		account := state["cas"].([]any)[0].(map[string]any)
		account["EwsApplicationAccessPolicy"], account["EwsAllowList"] = "EnforceAllowList", []any{"Backup/*"}
	case "block list":
		config["EwsApplicationAccessPolicy"], config["EwsBlockList"] = "EnforceBlockList", []any{"Agent*"}
	case "half there":
		state["groups"] = append(state["groups"].([]any), map[string]any{"Name": p.Group, "DistinguishedName": dn("the group"), "Members": []any{dn("Ann"), dn("Zed")}})
		state["cas"] = []any{cas("service 1", true, p.Settings.Login)}
		state["mailboxPermissions"] = []any{map[string]any{"Identity": dn("Ann"), "User": dn("service 1"), "IsInherited": false, "AccessRights": []any{"FullAccess"}}}
		state["directoryPermissions"] = []any{map[string]any{"Identity": dn("CAS1"), "User": dn("service 1"), "IsInherited": false, "ExtendedRights": []any{"ms-Exch-EPI-Impersonation"}}}
		config["EwsApplicationAccessPolicy"], config["EwsAllowList"] = "EnforceAllowList", []any{agentEntry(p.Settings.UserAgent)}
		config["EwsAllowedAppIDs"] = p.AppIDs[0]
	}
	return state
}

// inverse is what takes a step of the trace back.
func inverse(step string) string {
	switch step[0] {
	case '+':
		return "-" + step[1:]
	case '-':
		return "+" + step[1:]
	}
	name, values, _ := strings.Cut(step, ": ")
	was, now, _ := strings.Cut(values, " -> ")
	return name + ": " + now + " -> " + was
}

var psOrder = []string{"inventory", "grant", "user-agent", "ews-enabled", "allowed-apps", // then once more:
	"grant", "user-agent", "ews-enabled", "allowed-apps", "verify", "undo", "undo"}

// compareUndo compares the undo with the grants, and says what does not fit.
func compareUndo(r psResult, before psState) (wrong []string, made int) {
	var steps, undone []string
	ran := map[string]int{}
	for _, run := range r.Runs {
		ran[run.Name]++
		switch {
		case run.Error != "":
			wrong = append(wrong, run.Name+": "+run.Error)
		case run.Name == "inventory" || run.Name == "verify" || ran[run.Name] > 1:
			if len(run.Trace) > 0 {
				wrong = append(wrong, fmt.Sprintf("%s (%d) changes something: %q", run.Name, ran[run.Name], run.Trace))
			}
		case run.Name == "undo":
			undone = run.Trace
		default:
			steps = append(steps, run.Trace...)
		}
	}
	var want []string
	for _, step := range steps {
		want = append(want, inverse(step))
	}
	slices.Sort(undone)
	slices.Sort(want)
	if !slices.Equal(undone, want) {
		wrong = append(wrong, fmt.Sprintf("undone %q, want %q", undone, want))
	}
	if !sameExchange(r.State, before) {
		wrong = append(wrong, fmt.Sprintf("afterwards Exchange is not as before: %v, want %v", r.State, before))
	}
	return wrong, len(steps)
}

func sameExchange(now, before psState) bool {
	var as psState
	text, err := json.Marshal(before)
	return err == nil && json.Unmarshal(text, &as) == nil && reflect.DeepEqual(now, as)
}

func TestUndoListsWhatGrantMade(t *testing.T) {
	var names []string
	var jobs []psJob
	variants := []string{"nothing set", "allow list", "block list", "half there"}
	for name, p := range permits {
		variant := variants[len(names)%len(variants)] // each hostile name with each of them, over the versions
		names, jobs = append(names, name+"/"+variant), append(jobs, psJobOf(p, psExchange(p, variant), psOrder...))
	}
	results := powershell(t, jobs)
	steps := 0
	for i, r := range results {
		wrong, made := compareUndo(r, jobs[i].State)
		steps += made
		for _, w := range wrong {
			t.Errorf("%s: %s", names[i], w)
		}
		if t.Failed() && i > 20 {
			t.FailNow()
		}
	}
	t.Logf("%d lives, %d steps taken and undone", len(jobs), steps)

	// An undo that leaves a step out, or does one too many, is found.
	i := slices.IndexFunc(names, func(name string) bool {
		return strings.HasPrefix(name, "ExchangeSE//") && strings.HasSuffix(name, "/allow list")
	})
	for _, spoil := range [][2]string{
		{"Remove-ManagementScope -Identity $of -Confirm:$false -ErrorAction Stop", "Write-Output 'left'"},
		{"Set-CASMailbox -Identity $of -EwsEnabled $step.was", "Set-CASMailbox -Identity $of -EwsEnabled $null"},
		{"Set-OrganizationConfig -EwsAllowList @{ Remove = $of }", "Set-OrganizationConfig -EwsAllowList $null"},
	} {
		job := jobs[i]
		job.Scripts = map[string]string{}
		for name, text := range jobs[i].Scripts {
			job.Scripts[name] = strings.Replace(text, spoil[0], spoil[1], 1)
		}
		if reflect.DeepEqual(job.Scripts, jobs[i].Scripts) {
			t.Fatalf("nothing to spoil: %s", spoil[0])
		}
		if wrong, _ := compareUndo(powershell(t, []psJob{job})[0], job.State); len(wrong) == 0 {
			t.Errorf("not found: %s", spoil[1])
		}
	}
}

// Broken off anywhere, before a change or after it, what was granted is undone all the same.
func TestUndoAfterABreak(t *testing.T) {
	var names []string
	var jobs []psJob
	for _, p := range []crm.Permit{
		{Settings: crm.Settings{Version: version2007}}, {Settings: crm.Settings{Version: "ExchangeSE"}}, {Settings: crm.Settings{Version: versionOnline}},
		{Settings: crm.Settings{Version: "Exchange2013", Model: crm.ByDelegation}},
	} {
		p.Settings.Login, p.Settings.UserAgent, p.Settings.Others = "svc", "Agent/1", []crm.Account{{Login: "svc2"}}
		p.AppIDs, p.Policy.Allow = []string{"11111111-2222-3333-4444-555555555555"}, []crm.Selector{"ann@acme.example", "zed@acme.example"}
		for cut := range 14 {
			for _, late := range []bool{false, true} {
				job := psJobOf(p, psExchange(p, "allow list"), "grant", "user-agent", "ews-enabled", "allowed-apps", "undo")
				job.Cut, job.Late = &cut, late
				names, jobs = append(names, fmt.Sprintf("%s after %d, late %v", p.Settings.Version, cut, late)), append(jobs, job)
			}
		}
	}
	broken := 0
	for i, r := range powershell(t, jobs) {
		for _, run := range r.Runs {
			if run.Error != "" && (run.Error != "the session breaks off" || run.Name == "undo") {
				t.Errorf("%s: %s: %s", names[i], run.Name, run.Error)
			} else if run.Error != "" {
				broken++
			}
		}
		if !sameExchange(r.State, jobs[i].State) {
			t.Errorf("%s: afterwards Exchange is not as before: %v", names[i], r.State)
		}
	}
	if broken < len(jobs)/2 {
		t.Errorf("only %d sessions of %d lives broke off", broken, len(jobs))
	}
}

// Whatever cmdlet fails, with an error or without a word: the undo says that it is done, and
// drops its note, only of what is gone; the next undo does the rest.
func TestUndoAfterAFailure(t *testing.T) {
	var names []string
	var jobs []psJob
	for i, p := range []crm.Permit{
		{Settings: crm.Settings{Version: version2007}}, {Settings: crm.Settings{Version: "ExchangeSE"}}, {Settings: crm.Settings{Version: versionOnline}},
		{Settings: crm.Settings{Version: "Exchange2013", Model: crm.ByDelegation}}, {Settings: crm.Settings{Version: "ExchangeSE"}},
	} {
		p.Settings.Login, p.Settings.UserAgent, p.Settings.Others = "svc", "Agent/1", []crm.Account{{Login: "svc2"}}
		p.AppIDs, p.Policy.Allow, p.Group = []string{"11111111-2222-3333-4444-555555555555"}, []crm.Selector{"ann@acme.example", "zed@acme.example"}, "Postern mailboxes"
		variant := "allow list"
		if i == 4 {
			variant = "half there"
		}
		order := []string{"grant", "user-agent", "ews-enabled", "allowed-apps", "undo", "undo"}
		base := psJobOf(p, psExchange(p, variant), order...)
		seen := map[psFail]bool{}
		for script, commands := range powershell(t, []psJob{{Scripts: base.Scripts}})[0].Commands {
			for _, c := range commands {
				changes := psChanges.MatchString(c.Name)
				if !slices.Contains(order, script) || !changes && !strings.HasPrefix(c.Name, "Get-") || strings.HasSuffix(c.Name, "-Clixml") || c.Name == "Remove-Item" {
					continue
				}
				for _, silent := range []bool{false, true} {
					fail := psFail{Cmdlet: c.Name, Silent: silent, Undo: script == "undo"}
					if silent && !changes || seen[fail] {
						continue
					}
					seen[fail] = true
					job := base
					job.Fail = &fail
					names, jobs = append(names, fmt.Sprintf("%s, %+v", p.Settings.Version, fail)), append(jobs, job)
				}
			}
		}
	}
	met := 0
	for i, r := range powershell(t, jobs) {
		fail, n := jobs[i].Fail, len(r.Runs)
		granted, first, second := r.Runs[n-3], r.Runs[n-2], r.Runs[n-1]
		for _, run := range r.Runs {
			if len(run.Shown) > 0 {
				t.Errorf("%s: %s goes on after %q", names[i], run.Name, run.Shown)
			}
			if run.Error != "" && (fail.Undo != (run.Name == "undo") || run.Met == 0 && !strings.Contains(run.Error, "not")) {
				t.Errorf("%s: %s: %s", names[i], run.Name, run.Error)
			}
		}
		if fail.Undo && first.Met > 0 {
			met++
			done := strings.Count(strings.Join(first.Output, "\n"), "Undone: ")
			switch {
			case first.Error != "" && first.Notes != granted.Notes:
				t.Errorf("%s: %d notes of %d after an error", names[i], first.Notes, granted.Notes)
			case first.Error == "" && first.Notes != granted.Notes-done:
				t.Errorf("%s: %d notes of %d after %q", names[i], first.Notes, granted.Notes, first.Output)
			case psChanges.MatchString(fail.Cmdlet) && done == granted.Notes:
				t.Errorf("%s: all undone: %q", names[i], first.Output)
			}
		}
		if second.Notes > 0 || second.Error != "" || !sameExchange(r.State, jobs[i].State) {
			t.Errorf("%s: %d notes, %s, afterwards Exchange is not as before: %v", names[i], second.Notes, second.Error, r.State)
		}
	}
	if met < 30 {
		t.Errorf("only %d cmdlets of an undo failed", met)
	}
	t.Logf("%d lives, in %d the undo met a failure", len(jobs), met)
}

// No filter is switched on that would shut others out; with others named it is, and undone.
func TestUserAgentScriptShutsNobodyOut(t *testing.T) {
	p := crm.Permit{Settings: crm.Settings{Version: "ExchangeSE", Login: "svc", UserAgent: "Acme-CRM/1", Others: []crm.Account{{Login: "svc2"}}}}
	job := psJobOf(p, psExchange(p, ""), "user-agent", "undo")
	if r := powershell(t, []psJob{job})[0]; len(r.Runs[0].Trace) > 0 || !strings.Contains(strings.Join(r.Runs[0].Output, " "), "would refuse every other client") {
		t.Errorf("with nobody named: %+v", r.Runs[0])
	}
	job.Scripts["user-agent"] = strings.Replace(job.Scripts["user-agent"], "$others = @()", "$others = @('Outlook-iOS/*')", 1)
	r := powershell(t, []psJob{job})[0]
	if wrong, made := compareUndo(r, job.State); len(wrong) > 0 || made != 3 {
		t.Errorf("with others named: %q, %d steps: %+v", wrong, made, r.Runs)
	}
}

// The verification names the members of the group whom the policy does not list, and only
// shows what would take them out.
func TestVerifyNamesUnlistedMembers(t *testing.T) {
	group := "O'Brien \u2019s team"
	var jobs []psJob
	for _, s := range []crm.Settings{{Version: version2007}, {Version: "ExchangeSE"}, {Version: "Exchange2013", Model: crm.ByDelegation}, {Version: versionOnline}} {
		for _, allow := range [][]crm.Selector{{"ann@acme.example"}, {"ann@acme.example", "*@sales.acme.example"}, nil} {
			s.Login, s.UserAgent, s.Others = "svc", "Agent/1", []crm.Account{{Login: "svc2"}}
			p := crm.Permit{Settings: s, Group: group, AppIDs: []string{"11111111-2222-3333-4444-555555555555"}, Policy: crm.Policy{Allow: allow}}
			jobs = append(jobs, psJobOf(p, psExchange(p, "half there"), "verify"))
		}
	}
	for i, r := range powershell(t, jobs) {
		run := r.Runs[0]
		out := strings.Join(run.Output, "\n")
		if run.Error != "" || len(run.Trace)+len(run.Shown) > 0 {
			t.Errorf("%d: %+v", i, run)
		}
		const line = "To take it out: Remove-DistributionGroupMember -Identity 'O''Brien \u2019\u2019s team' -Member 'CN=Zed,DC=acme,DC=example'"
		if got, want := strings.Count(out, "To take it out: "), i%3 != 2; (got == 1) != want || strings.Contains(out, line) != want {
			t.Errorf("%d: %s", i, out)
		}
		if i%3 != 2 && strings.Contains(out, "see whether a pattern") != (i%3 == 1) {
			t.Errorf("%d: %s", i, out)
		}
	}
}

func TestPowerShellQuoting(t *testing.T) {
	for text, want := range map[string]string{
		"": "''", "a": "'a'", "O'Brien": "'O''Brien'", "\u2018\u2019\u201a\u201b": "'\u2018\u2018\u2019\u2019\u201a\u201a\u201b\u201b'",
		"a\r\nb\x00c\u0085d\u2028e": "'abcde'", "$x `n \"": "'$x `n \"'",
	} {
		if got := psQuote(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
