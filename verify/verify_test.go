package verify_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/mail"
	"postern/sim"
	"postern/store"
	"postern/verify"
)

const (
	ann = "ann@acme.example"
	bob = "bob@acme.example"
	zed = "zed@other.example" // a user whose domain is not allowed
	cyn = "cyn@client.example"
	dan = "dan@client.example"
	who = "who@nowhere.example"
)

// A company has mail of every kind, and all of it was collected.
type company struct {
	*testing.T
	dir      string // data folder, in use by nobody
	truth    []byte
	history  bytes.Buffer
	hours    atomic.Int64 // that have passed
	exchange *sim.Exchange
	server   *httptest.Server
	store    *store.Store
	engine   *engine.Engine
}

// raw makes a letter. Fields are "name: value" lines.
func raw(subject string, fields ...string) []byte {
	head := "Subject: " + subject + "\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n"
	if !slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, "Message-ID:") }) {
		head += "Message-ID: <" + strings.ReplaceAll(subject, " ", "-") + "@Mail.Example>\r\n"
	}
	return []byte(head + strings.Join(fields, "\r\n") + "\r\n\r\nThe text of " + subject + ".\r\n")
}

// newCompany makes an Exchange with an empty history and a data folder that may read it.
func newCompany(t *testing.T) *company {
	t.Helper()
	c := &company{T: t, dir: t.TempDir()}
	var err error
	c.exchange, err = sim.New(sim.Options{Journal: &c.history, Now: c.now})
	c.must(err)
	t.Cleanup(func() { c.exchange.Close() })
	c.exchange.AddAccount(sim.Account{Login: "svc", Password: "secret"})
	c.server = httptest.NewServer(c.exchange)
	t.Cleanup(c.server.Close)
	c.store, err = store.Open(t.Context(), store.Options{Dir: c.dir, Now: c.now})
	c.must(err)
	t.Cleanup(func() { c.store.Close() })
	c.must(c.store.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.SingleTenant, Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}))
	return c
}

func (c *company) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *company) now() time.Time {
	return time.Date(2026, 3, 2, 12+int(c.hours.Load()), 0, 0, 0, time.UTC)
}

// know imports people and allows a domain.
func (c *company) know(users []crm.User, contacts []crm.Contact, domain string) {
	c.Helper()
	org := c.store.Org(1)
	_, err := org.SaveUsers(c.Context(), users)
	c.must(err)
	_, err = org.SaveContacts(c.Context(), contacts)
	c.must(err)
	connector := ews.Connector()
	settings, wrong := crm.Settings{Enabled: true, Server: c.server.URL + "/EWS/Exchange.asmx", Version: "Exchange2013_SP1", Login: "svc",
		Password: crm.NewSecret("secret"), Domains: []string{domain}}.Check(connector, crm.Settings{})
	if len(wrong) > 0 {
		c.Fatal(wrong)
	}
	c.must(org.SaveSettings(c.Context(), settings))
	c.engine = engine.New(engine.Config{Org: org, Connector: connector, Now: c.now})
}

// collect collects all there is and lets two hours pass.
func (c *company) collect() {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 5*time.Minute)
	defer cancel()
	c.must(c.engine.CatchUp(ctx))
	c.hours.Add(2)
}

// end closes the data folder and asks for the truth.
func (c *company) end() {
	c.Helper()
	c.must(c.store.Close())
	var truth bytes.Buffer
	c.must(c.exchange.Truth(func(it sim.Copy) error { return json.NewEncoder(&truth).Encode(it) }))
	c.truth = truth.Bytes()
}

func collected(t *testing.T) *company {
	t.Helper()
	c := newCompany(t)
	x := c.exchange
	for _, address := range []mail.Address{ann, bob, zed} {
		x.AddMailbox(sim.Person{Name: string(address), Address: address})
	}
	c.know([]crm.User{
		{Name: "Ann", Addresses: []mail.Address{ann}, Active: true},
		{Name: "Bob", Addresses: []mail.Address{bob}, Active: true},
		{Name: "Zed", Addresses: []mail.Address{zed}, Active: true},
	}, []crm.Contact{{Name: "Cyn", Addresses: []mail.Address{cyn}}, {Name: "Dan", Addresses: []mail.Address{dan}}}, "acme.example")

	items := fill(t, x)
	c.collect()
	for _, it := range items["deleted after filing"] {
		it.Delete()
	}
	items["moved after filing"][0].Move(x.Mailbox(ann).CreateFolder(x.Mailbox(ann).Folder(sim.Inbox), "Projects"))
	items["read after filing"][0].MarkRead(true)
	c.collect()
	c.collect() // a copy that is missing is given up only some time later
	c.end()
	return c
}

// fill delivers mail of every kind and returns the items by subject.
func fill(t *testing.T, x *sim.Exchange) map[string][]*sim.Item {
	t.Helper()
	items := map[string][]*sim.Item{}
	for subject, fields := range map[string][]string{
		"inbound to both":      {"From: Cyn <" + cyn + ">", "To: " + ann + ", " + strings.ToUpper(bob)},
		"outbound with bcc":    {"From: " + ann, "To: " + cyn, "Bcc: " + dan},
		"deleted after filing": {"From: " + cyn, "To: " + ann},
		"moved after filing":   {"From: " + cyn, "To: " + ann, "Cc: " + who},
		"read after filing":    {"From: " + cyn, "To: " + bob},
		"without id":           {"From: " + cyn, "To: " + ann + ", " + bob, "Message-ID: "},
		"same id":              {"From: " + cyn, "To: " + ann, "Message-ID: <same@client.example>"},
		"same id of another":   {"From: " + dan, "To: " + ann, "Message-ID: <same@client.example>"},
		"private":              {"From: " + cyn, "To: " + ann, "Sensitivity: Private"},
		"internal":             {"From: " + ann, "To: " + bob},
		"nobody known":         {"From: " + who, "To: " + ann},
		"user not allowed":     {"From: " + cyn, "To: " + zed},
		"both received it":     {"From: " + who, "To: " + ann + ", " + cyn},
	} {
		list, err := x.Deliver(raw(subject, fields...))
		if err != nil {
			t.Fatal(err)
		}
		items[subject] = list
	}
	for role, subject := range map[sim.Role]string{sim.JunkEmail: "junk", sim.Drafts: "draft", sim.DeletedItems: "thrown away"} {
		if _, err := x.Mailbox(ann).Folder(role).Put(raw(subject, "From: "+cyn, "To: "+ann)); err != nil {
			t.Fatal(err)
		}
	}
	damaged, err := x.Mailbox(ann).Folder(sim.Inbox).Put(raw("damaged", "From: "+cyn, "To: "+ann))
	if err != nil {
		t.Fatal(err)
	}
	damaged.Damage(sim.DamagedAll)
	return items
}

func (c *company) database() string { return filepath.Join(c.dir, "postern.db") }

// altered is a copy of the company's database on which SQL was run.
func (c *company) altered(t *testing.T, statements ...string) string {
	t.Helper()
	content, err := os.ReadFile(c.database())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "postern.db")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		res, err := db.Exec(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if n, _ := res.RowsAffected(); n == 0 && !strings.HasPrefix(s, "drop") && !strings.HasPrefix(s, "create") {
			t.Fatalf("%s changed nothing", s)
		}
	}
	return file
}

func compare(t *testing.T, database string, truth, history []byte) verify.Report {
	t.Helper()
	in := verify.Input{Database: database, Truth: bytes.NewReader(truth)}
	if history != nil {
		in.History = bytes.NewReader(history)
	}
	r, err := verify.Compare(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatWasCollectedWellHasNoDifference(t *testing.T) {
	c := collected(t)
	for name, history := range map[string][]byte{"with": c.history.Bytes(), "without": nil} {
		r := compare(t, c.database(), c.truth, history)
		if r.Differences() != 0 || r.First != "" {
			t.Errorf("%s history: %v\n%+v", name, r, r)
		}
		// Of the ten, two messages stand in two mailboxes and one is damaged; another that was
		// filed has been deleted since.
		if r.Items != 15 || r.ToFile != 10 || r.Activities != 8 {
			t.Errorf("%s history: %v", name, r)
		}
	}
}

// TestRealMail has people write to each other who are not as tidy as we are.
func TestRealMail(t *testing.T) {
	corpus := filepath.Join(cmp.Or(os.Getenv("POSTERN_SHARED"), filepath.Join("..", "..", "shared")), "corpus", "small")
	if _, err := os.Stat(corpus); err != nil {
		t.Skip("the corpus of real mail is not here")
	}
	c := newCompany(t)
	loaded, err := c.exchange.Load(corpus, "")
	c.must(err)
	var users []crm.User
	for _, p := range loaded.Users {
		users = append(users, crm.User{Name: p.Name, Addresses: []mail.Address{p.Address}, Active: true})
	}
	var contacts []crm.Contact
	for _, p := range loaded.Contacts {
		contacts = append(contacts, crm.Contact{Name: p.Name, Addresses: []mail.Address{p.Address}})
	}
	c.know(users, contacts, loaded.Company)
	c.collect()
	c.end()
	for name, history := range map[string][]byte{"with": c.history.Bytes(), "without": nil} {
		r := compare(t, c.database(), c.truth, history)
		if r.Differences() != 0 || r.ToFile == 0 || r.ToFile == r.Items {
			t.Errorf("%s history: %v", name, r)
		}
	}
}

// filedAs is the condition that finds the message with a subject.
func filedAs(subject string) string {
	return fmt.Sprintf("(select id from message where subject = '%s')", subject)
}

func itemOf(subject, address string) string {
	return fmt.Sprintf("mailbox_id = (select id from mailbox where address = '%s') and item in (select item from copy where gone_at = 0 and message_id = %s)", address, filedAs(subject))
}

func TestEachDifferenceIsFound(t *testing.T) {
	c := collected(t)
	const notFiled = "rowid in (select id from decision where reason = 'internal' limit 1)"
	for name, test := range map[string]struct {
		sql  []string
		want string // kind, and a part of what is said
	}{
		"activity lost":        {[]string{"delete from activity where message_id = " + filedAs("read after filing")}, "lost: there is no activity"},
		"message lost":         {[]string{"delete from message where subject = 'read after filing'"}, "lost: its message is not there"},
		"copy lost":            {[]string{"delete from copy where message_id = " + filedAs("read after filing")}, "lost: there is no copy of it"},
		"decided wrongly":      {[]string{"update decision set outcome = 'not_filed' where " + itemOf("read after filing", bob)}, "lost: was decided not_filed"},
		"failed":               {[]string{"update decision set outcome = 'failed' where " + itemOf("read after filing", bob)}, "lost: was decided failed"},
		"failed for nothing":   {[]string{"update decision set outcome = 'failed' where " + notFiled}, "wrong: does not belong in the CRM and was decided failed"},
		"no decision":          {[]string{"delete from decision where " + notFiled}, "undecided: has no decision"},
		"two activities":       {[]string{"insert into activity (org_id, message_id, kind, when_at, links) select org_id, message_id, 'again', when_at, links from activity where message_id = " + filedAs("read after filing")}, "doubled: 2 activities"},
		"two messages":         {[]string{"insert into message (org_id, message_key, variant, message_id, subject, from_address, sent_at, received_at, when_at, direction, preview, encrypted, thread_id, people, attachments, missing, missing_code, missing_why, seal) select org_id, message_key, variant + 1, message_id, subject, from_address, sent_at, received_at, when_at, direction, preview, encrypted, thread_id, people, attachments, missing, missing_code, missing_why, seal from message where subject = 'without id'", "insert into body select org_id, (select max(id) from message), html, text from body where message_id = (select min(id) from message where subject = 'without id')", "insert into participant select org_id, (select max(id) from message), part, who, mailbox_id, position, name, readable from participant where message_id = (select min(id) from message where subject = 'without id')"}, "doubled: stands twice among the messages"},
		"filed apart":          {[]string{"insert into message select (select max(id) + 1 from message), org_id, message_key, variant + 1, message_id, subject, from_address, sent_at + 1, received_at, when_at, direction, preview, encrypted, thread_id, people, attachments, missing, missing_code, missing_why, seal from message where subject = 'inbound to both'", "insert into activity (org_id, message_id, kind, when_at, links) select org_id, (select max(id) from message), kind, when_at, links from activity limit 1", "update copy set message_id = (select max(id) from message) where mailbox_id = (select id from mailbox where address = 'bob@acme.example') and message_id = (select min(id) from message where subject = 'inbound to both')"}, "doubled: is filed as another message than its copy in ann@acme.example"},
		"filed as another":     {[]string{"update copy set message_id = " + filedAs("outbound with bcc") + " where message_id = " + filedAs("read after filing")}, "wrong: is filed as another message"},
		"in My Emails twice":   {[]string{"insert into user_message select org_id, user_id, when_at + 1, message_id, unread, gone from user_message where message_id = " + filedAs("read after filing")}, "doubled: in My Emails of u2 \"Bob\" 2 times"},
		"not in My Emails":     {[]string{"delete from user_message where message_id = " + filedAs("read after filing")}, "wrong: not in My Emails of u2 \"Bob\""},
		"gone from My Emails":  {[]string{"update user_message set gone = true where message_id = " + filedAs("read after filing")}, "wrong: gone from My Emails of u2 \"Bob\""},
		"unread":               {[]string{"update user_message set unread = not unread where message_id = " + filedAs("read after filing")}, "wrong: unread = true"},
		"another's My Emails":  {[]string{"insert into user_message select org_id, 1, when_at, message_id, unread, gone from user_message where message_id = " + filedAs("read after filing")}, "wrong: My Emails of u1 \"Ann\", whose mailbox never held it"},
		"link lost":            {[]string{"delete from activity_link where person = 'c' and activity_id = (select id from activity where message_id = " + filedAs("read after filing") + ")"}, "wrong: the link to c1 \"Cyn\" is missing"},
		"link of a stranger":   {[]string{"insert into activity_link select org_id, 'c', 2, when_at, activity_id, 'dan@client.example', part, auto from activity_link where person = 'c' and activity_id = (select id from activity where message_id = " + filedAs("read after filing") + ")"}, "wrong: linked to c2 \"Dan\", who is not on it"},
		"left behind":          {[]string{"update decision set item = item || 'x' where " + notFiled}, "undecided: has no decision"},
		"decision of nothing":  {[]string{"insert into decision select 1000, org_id, mailbox_id, x'00', 'nothing', folder_id, epoch, outcome, reason, rule, tries, due_at, when_at, decided_at, traces from decision where " + notFiled}, "wrong: has a decision and is not in Exchange"},
		"copy of nothing":      {[]string{"update copy set gone_at = 0 where gone_at > 0 and message_id = " + filedAs("deleted after filing")}, "wrong: its copy is said to be in Exchange and is not"},
		"copy said to be gone": {[]string{"update copy set gone_at = 1 where message_id = " + filedAs("read after filing")}, "wrong: its copy is said to be gone"},
		"in another folder":    {[]string{"update decision set folder_id = folder_id + 1 where " + itemOf("read after filing", bob)}, "wrong: its decision says that it lies in folder"},
		"what never belonged":  {[]string{"update message set message_id = 'never@delivered.example' where subject = 'deleted after filing'"}, "wrong: no such message ever belonged in the CRM"},
		"private one filed":    {[]string{"update policy set text = json_remove(text, '$.sensitivities')", "update decision set outcome = 'filed' where reason = 'private'"}, "lost: there is no copy of it"},
		"excluded one filed":   {[]string{"update policy set text = json_set(text, '$.excluded', json('[\"dan@client.example\"]'))"}, "wrong: was filed and does not belong in the CRM"},
		"filed in part":        {[]string{"update message set missing = 'text' where subject = 'read after filing'"}, "undecided: filed in part (text missing)"},
		"domain added":         {[]string{"update policy set text = json_insert(text, '$.domains[#]', 'other.example')"}, "undecided: has no decision"},
	} {
		t.Run(name, func(t *testing.T) {
			r := compare(t, c.altered(t, test.sql...), c.truth, c.history.Bytes())
			kind, what, _ := strings.Cut(test.want, ": ")
			list := map[string][]verify.Finding{"lost": r.Lost, "doubled": r.Doubled, "wrong": r.Wrong, "undecided": r.Undecided}[kind]
			if !slices.ContainsFunc(list, func(f verify.Finding) bool { return strings.Contains(f.What, what) }) {
				t.Errorf("want %s\ngot %v", test.want, r)
			}
			if r.First == "" {
				t.Error("no first difference is described")
			}
		})
	}
}

func TestFirstDifferenceIsToldWithItsHistory(t *testing.T) {
	c := collected(t)
	r := compare(t, c.altered(t, "delete from activity where message_id = "+filedAs("moved after filing")), c.truth, c.history.Bytes())
	for _, part := range []string{"lost", "moved-after-filing@Mail.Example", `"kind":"arrived"`, `"kind":"moved"`, "decision:", "copy:", "message:"} {
		if !strings.Contains(r.First, part) {
			t.Errorf("%q is not in\n%s", part, r.First)
		}
	}
	r = compare(t, c.altered(t, "delete from decision where reason = 'internal' and mailbox_id = 1"), c.truth, c.history.Bytes())
	if len(r.Undecided) != 1 || len(r.Lost)+len(r.Wrong)+len(r.Doubled) != 0 {
		t.Errorf("got %v", r)
	}
}

func TestTruthThatChangedIsADifference(t *testing.T) {
	c := collected(t)
	for name, want := range map[string]string{"new mail": "undecided", "mail moved": "wrong", "mail deleted": "wrong"} {
		var lines []map[string]any
		d := json.NewDecoder(bytes.NewReader(c.truth))
		for {
			var line map[string]any
			if err := d.Decode(&line); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		i := slices.IndexFunc(lines, func(l map[string]any) bool { return l["subject"] == "read after filing" })
		switch name {
		case "new mail":
			fresh := maps.Clone(lines[i])
			fresh["item"] = "another"
			lines = append(lines, fresh)
		case "mail moved":
			lines[i]["folder"] = "another"
		case "mail deleted":
			lines = slices.Delete(lines, i, i+1)
		}
		var truth bytes.Buffer
		for _, line := range lines {
			json.NewEncoder(&truth).Encode(line)
		}
		r := compare(t, c.database(), truth.Bytes(), c.history.Bytes())
		if got, _, _ := strings.Cut(r.First, ":"); got != want {
			t.Errorf("%s: want %s, got %v", name, want, r)
		}
	}
}

func TestMailboxWithAnotherAddressIsTheSame(t *testing.T) {
	c := collected(t)
	const robert = "robert@acme.example"
	truth := bytes.ReplaceAll(c.truth, []byte(`"mailbox":"`+bob), []byte(`"mailbox":"`+robert))
	if r := compare(t, c.database(), truth, c.history.Bytes()); len(r.Wrong) == 0 {
		t.Errorf("nobody said that Bob is Robert now: %v", r)
	}
	renamed := fmt.Sprintf(`{"seq":1000,"kind":"mailbox-renamed","mailbox":%q,"was_mailbox":%q}`, robert, bob)
	if r := compare(t, c.database(), truth, append(c.history.Bytes(), renamed...)); r.Differences() != 0 {
		t.Errorf("told by the history: %v", r)
	}
	noticed := c.altered(t, "update mailbox set primary_address = '"+robert+"' where address = '"+bob+"'")
	if r := compare(t, noticed, truth, c.history.Bytes()); r.Differences() != 0 {
		t.Errorf("noticed by ourselves: %v", r)
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	c := collected(t)
	for name, in := range map[string]verify.Input{
		"no database": {Database: filepath.Join(t.TempDir(), "none.db"), Truth: strings.NewReader("")},
		"no truth":    {Database: c.database(), Truth: strings.NewReader("{\n")},
		"no history":  {Database: c.database(), Truth: strings.NewReader(""), History: strings.NewReader("[]")},
	} {
		if _, err := verify.Compare(t.Context(), in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestContentsDoNotDependOnTheOrder collects the same mail twice, and breaks one of both.
func TestContentsDoNotDependOnTheOrder(t *testing.T) {
	c := collected(t)
	contents := func(file string) (map[string][]string, error) {
		db, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		return verify.Contents(t.Context(), db)
	}
	want, err := contents(c.database())
	if err != nil || len(want["activity"]) != 8 || len(want["decision"]) == 0 {
		t.Fatalf("%v, %d activities", err, len(want["activity"]))
	}
	renumbered := c.altered(t, "update copy set seen_at = seen_at + 5", "update decision set id = id + 1000", "update trace set decision_id = decision_id + 1000")
	if got, err := contents(renumbered); err != nil || cmp.Compare(fmt.Sprint(got), fmt.Sprint(want)) != 0 {
		t.Errorf("row ids and times make a difference: %v", err)
	}
	if got, err := contents(c.altered(t, "update body set text = text || '.' where message_id = 1")); err != nil || fmt.Sprint(got) == fmt.Sprint(want) {
		t.Errorf("another text makes no difference: %v", err)
	}
	if _, err := contents(c.altered(t, "delete from message where id = 1")); err == nil {
		t.Error("rows that refer to nothing are no error")
	}
}
