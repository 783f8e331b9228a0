package cast

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/mail"
)

// now is a Wednesday afternoon after the last letter of a day.
var now = time.Date(2026, 11, 25, 18, 30, 0, 0, time.UTC)

// A received letter is one as a mail program reads it.
type received struct {
	Letter
	header netmail.Header
	types  []string // media types of all parts
	text   string   // of the text parts, decoded
	html   string
	files  map[string][]byte // attachments and pictures by name
}

func open(t *testing.T, l Letter) *received {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(l.Raw))
	if err != nil {
		t.Fatalf("%v in\n%s", err, l.Raw)
	}
	r := &received{Letter: l, header: m.Header, files: make(map[string][]byte)}
	r.walk(t, m.Header.Get, m.Body)
	return r
}

func (r *received) walk(t *testing.T, get func(string) string, body io.Reader) {
	t.Helper()
	kind, parameters, err := mime.ParseMediaType(get("Content-Type"))
	if err != nil {
		t.Fatalf("Content-Type %q: %v", get("Content-Type"), err)
	}
	r.types = append(r.types, kind)
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, parameters["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", r.subject(), err)
			}
			r.walk(t, p.Header.Get, p)
		}
	}
	switch get("Content-Transfer-Encoding") {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("%s: %s: %v", r.subject(), kind, err)
	}
	if _, named, err := mime.ParseMediaType(get("Content-Disposition")); err == nil {
		r.files[named["filename"]] = content
		return
	}
	switch kind {
	case "text/plain":
		r.text += string(content)
	case "text/html":
		r.html += string(content)
	}
}

func (r *received) subject() string {
	s, err := new(mime.WordDecoder).DecodeHeader(r.header.Get("Subject"))
	if err != nil {
		return err.Error()
	}
	return s
}

// references are the Message-IDs that the letter names.
func (r *received) references() []string {
	return strings.Fields(r.header.Get("References") + " " + r.header.Get("In-Reply-To"))
}

func openAll(t *testing.T, list []Letter) []*received {
	t.Helper()
	var all []*received
	for _, l := range list {
		all = append(all, open(t, l))
	}
	return all
}

func trickled(rounds int) []Letter {
	var list []Letter
	for n := range rounds * len(trickle()) {
		list = append(list, Trickle(now.Add(time.Duration(n)*time.Second), n))
	}
	return list
}

func TestPeople(t *testing.T) {
	users, contacts := Users(), Contacts()
	if len(users) != 6 || len(contacts) != 18 {
		t.Errorf("%d users and %d contacts, want 6 and 18", len(users), len(contacts))
	}
	owners := make(map[mail.Address]int)
	for i, u := range users {
		if u.Admin != (i == 0) || !u.Active {
			t.Errorf("%s: admin %v, active %v; want the first to be the only admin, and all active", u.Name, u.Admin, u.Active)
		}
		for _, a := range u.Addresses {
			if a.Domain() != Domain {
				t.Errorf("%s has an address at %s, want %s", u.Name, a.Domain(), Domain)
			}
			owners[a]++
		}
	}
	companies := make(map[string]bool)
	several, shared := 0, 0
	for _, c := range contacts {
		companies[c.Company] = true
		if c.Title == "" {
			t.Errorf("%s has no title", c.Name)
		}
		if len(c.Addresses) > 1 {
			several++
		}
		for _, a := range c.Addresses {
			if owners[a]++; owners[a] == 2 {
				shared++
			}
		}
	}
	if len(companies) != 11 || several != 1 || shared != 1 {
		t.Errorf("%d companies, %d contacts with several addresses, %d shared addresses; want 11, 1, 1", len(companies), several, shared)
	}
}

func TestEveryLetterIsWellFormed(t *testing.T) {
	for _, r := range openAll(t, append(Letters(now), trickled(1)...)) {
		subject := r.subject()
		for _, field := range []string{"From", "To", "Cc", "Bcc"} {
			if r.header.Get(field) == "" && (field == "Cc" || field == "Bcc") {
				continue
			}
			list, err := r.header.AddressList(field)
			if err != nil || len(list) == 0 {
				t.Errorf("%s: %s: %v", subject, field, err)
			}
			for _, a := range list {
				if !strings.HasSuffix(a.Address, ".example") {
					t.Errorf("%s: %s is no address of an example", subject, a.Address)
				}
			}
		}
		if date, err := r.header.Date(); err != nil || !date.Equal(r.When) {
			t.Errorf("%s: date %v (%v), want %v", subject, date, err, r.When)
		}
		if subject == "" || r.text == "" && r.html == "" {
			t.Errorf("%q has no subject or no text", subject)
		}
		if left := regexp.MustCompile(`\{[^}\n]*[0-9dy]\}`).FindString(subject + r.text); left != "" {
			t.Errorf("%s: blank %q was not filled", subject, left)
		}
		for line := range strings.SplitSeq(string(r.Raw), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%s: line of %d octets, or a lonely line end, in %.60q", subject, len(line), line)
			}
		}
	}
}

// The web addresses in letters, too, must lead nowhere.
func TestLinksLeadNowhere(t *testing.T) {
	link := regexp.MustCompile(`https?://([^/"'\s?<]+)`)
	for _, r := range openAll(t, append(Letters(now), trickled(1)...)) {
		for _, found := range link.FindAllStringSubmatch(r.html+r.text, -1) {
			if !strings.HasSuffix(found[1], ".example") {
				t.Errorf("%s links to %s", r.subject(), found[1])
			}
		}
	}
}

func TestLettersAreTheSameEachTime(t *testing.T) {
	a, b := Letters(now), Letters(now)
	if len(a) != len(b) {
		t.Fatalf("%d letters, then %d", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i].Raw, b[i].Raw) {
			t.Errorf("letter %d differs:\n%s\n%s", i, a[i].Raw, b[i].Raw)
		}
	}
	if x, y := Trickle(now, 7), Trickle(now, 7); !bytes.Equal(x.Raw, y.Raw) {
		t.Errorf("the trickle differs:\n%s\n%s", x.Raw, y.Raw)
	}
}

func TestKindsOfLetters(t *testing.T) {
	users, contacts := make(map[string]bool), make(map[string]bool)
	for _, u := range Users() {
		for _, a := range u.Addresses {
			users[string(a)] = true
		}
	}
	for _, c := range Contacts() {
		for _, a := range c.Addresses {
			contacts[string(a)] = true
		}
	}
	got := make(map[string]int)
	for _, r := range openAll(t, Letters(now)) {
		for kind, is := range kinds(r, users, contacts) {
			if is {
				got[kind]++
			}
		}
	}
	want := map[string]int{ // at least
		"all": 160, "inbound": 80, "outbound": 60, "answer": 90, "several recipients": 80,
		"html and text": 130, "plain text": 5, "attachment": 45, "picture": 2, "bcc": 1, "unread": 10,
		"latin accents": 25, "japanese": 5,
		"internal": 6, "newsletter": 3, "private": 1, "draft": 1, "stranger": 12, "bounce": 1, "meeting": 1, "hostile": 1,
		"supplier": 8,
	}
	for kind, n := range want {
		if got[kind] < n {
			t.Errorf("%d letters are %q, want %d at least", got[kind], kind, n)
		}
	}
}

// kinds tells what a letter is an example of.
func kinds(r *received, users, contacts map[string]bool) map[string]bool {
	from, _ := r.header.AddressList("From")
	sender := from[0].Address
	recipients, known, ours := 0, false, true
	for _, field := range []string{"To", "Cc", "Bcc"} {
		list, _ := r.header.AddressList(field)
		for _, a := range list {
			recipients++
			known = known || contacts[a.Address]
			ours = ours && users[a.Address]
		}
	}
	return map[string]bool{
		"all":                true,
		"inbound":            contacts[sender],
		"outbound":           users[sender] && known,
		"stranger":           !users[sender] && !contacts[sender],
		"internal":           users[sender] && ours,
		"supplier":           strings.Contains(r.header.Get("From")+r.header.Get("To"), "hannah.lindqvist@norrby.example"),
		"answer":             r.header.Get("In-Reply-To") != "",
		"several recipients": recipients > 1,
		"html and text":      r.text != "" && r.html != "",
		"plain text":         slices.Equal(r.types, []string{"text/plain"}),
		"attachment":         slices.Contains(r.types, "multipart/mixed") && len(r.files) > 0,
		"picture":            slices.Contains(r.types, "multipart/related") && strings.Contains(r.html, `src="cid:`),
		"bcc":                r.header.Get("Bcc") != "",
		"unread":             !r.Read,
		"latin accents":      strings.ContainsAny(r.text, "äöüéèàç"),
		"japanese":           strings.Contains(string(r.Raw), "iso-2022-jp"),
		"newsletter":         r.header.Get("List-Unsubscribe") != "",
		"private":            r.header.Get("Sensitivity") == "private" && contacts[sender],
		"draft":              r.Draft,
		"bounce":             slices.Contains(r.types, "message/delivery-status"),
		"meeting":            strings.Contains(string(r.Raw), "method=REQUEST"),
		"hostile":            contacts[sender] && strings.Contains(r.html, "<script>") && strings.Contains(r.html, "onerror=") && strings.Contains(r.html, "<form"),
	}
}

// Whoever answers somebody answers a letter that was sent before.
func TestConversationsResolve(t *testing.T) {
	sent := make(map[string]time.Time)
	for _, r := range openAll(t, append(Letters(now), trickled(2)...)) {
		id := r.header.Get("Message-ID")
		if !sent[id].IsZero() {
			t.Errorf("%s has the Message-ID of another letter", r.subject())
		}
		sent[id] = r.When
		for _, reference := range r.references() {
			if when, ok := sent[reference]; !ok || !when.Before(r.When) {
				t.Errorf("%s answers %s, which is not older", r.subject(), reference)
			}
		}
	}
}

func TestWhatIsAnsweredWasRead(t *testing.T) {
	for _, e := range letters() {
		if e.parent != nil && !e.draft && e.parent.unread {
			t.Errorf("%s answers %s, which is marked unread", e.place, e.parent.place)
		}
	}
}

func TestAnswersQuoteWhatTheyAnswer(t *testing.T) {
	for _, r := range openAll(t, Letters(now)) {
		if r.subject() != "AW: Prüfprotokoll Leitung 2" {
			continue
		}
		for _, want := range []string{"Von: ", "Gesendet: ", "Ist das ein Fehler oder die Wahrheit?"} {
			if !strings.Contains(r.text, want) {
				t.Errorf("%q is missing in\n%s", want, r.text)
			}
		}
		if !strings.Contains(r.html, `id="divRplyFwdMsg"`) {
			t.Errorf("no quotation in\n%s", r.html)
		}
		return
	}
	t.Error("the answer is not there")
}

func TestAttachmentsAreReal(t *testing.T) {
	seen := make(map[string]int)
	for _, r := range openAll(t, Letters(now)) {
		for name, content := range r.files {
			ending := name[strings.LastIndex(name, "."):]
			seen[ending]++
			switch ending {
			case ".pdf":
				checkPDF(t, name, content)
			case ".png":
				if _, err := png.Decode(bytes.NewReader(content)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			case ".csv":
				if lines := bytes.Count(content, []byte("\r\n")); lines != 145 {
					t.Errorf("%s has %d lines, want a heading and one for each ten minutes of a day", name, lines)
				}
			}
		}
	}
	for _, ending := range []string{".pdf", ".png", ".csv"} {
		if seen[ending] == 0 {
			t.Errorf("no %s at all", ending)
		}
	}
}

// checkPDF checks that the table of objects points at each of them.
func checkPDF(t *testing.T, name string, content []byte) {
	t.Helper()
	var table int
	_, end, _ := bytes.Cut(content, []byte("startxref\n"))
	if _, err := fmt.Sscan(string(end), &table); err != nil || !bytes.HasPrefix(content[table:], []byte("xref\n")) {
		t.Fatalf("%s: no table of objects at %d (%v)", name, table, err)
	}
	for n, line := range strings.Split(string(content[table:]), "\n")[3:8] {
		var offset int
		fmt.Sscan(strings.TrimLeft(line[:10], "0"), &offset)
		if want := fmt.Sprintf("%d 0 obj", n+1); !bytes.HasPrefix(content[offset:], []byte(want)) {
			t.Errorf("%s: %q is not at %d", name, want, offset)
		}
	}
}

func TestTrickleRepeatsLateAndAsNewMessages(t *testing.T) {
	texts, writers := make(map[string]bool), make(map[string]bool)
	for _, r := range openAll(t, trickled(1)) {
		own, _, _ := strings.Cut(r.text+r.html, "____")
		texts[own] = true
		writers[r.header.Get("From")] = true
		if r.Read || r.Draft {
			t.Errorf("%s is read or a draft", r.subject())
		}
	}
	if len(texts) != len(trickle()) || len(texts) < 40 || len(writers) < 15 {
		t.Errorf("%d different texts of %d by %d people, want 40 and 15 at least", len(texts), len(trickle()), len(writers))
	}
}
