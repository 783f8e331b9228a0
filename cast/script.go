package cast

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"net/textproto"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	netmail "net/mail"

	"postern/mail"
)

//go:embed letters/*.txt
var lettersFS embed.FS

//go:embed trickle.txt
var trickleText string

// An entry is a letter as written in a file.
type entry struct {
	place string // file and line, for messages
	key   string // file and number: what the Message-ID is made of

	days      int // in working days from today
	timeOfDay time.Duration

	from        person
	to, cc, bcc []person
	subject     string // with the prefix of an answer
	topic       string // without
	language    language
	format      string
	startDay    int // of a meeting, in working days from today
	startTime   time.Duration
	bounced     mail.Address // of a bounce
	attach      []string
	unread      bool
	draft       bool
	extra       []header // headings that go into the message as they stand
	body        string

	parent  *entry // the letter that this one answers
	answers string // the topic of the conversation that this one answers, from Reply
}

type header struct{ name, value string }

// The formats of a letter.
const (
	outlook = "outlook"
	plain   = "text"
	rawHTML = "html"
	meeting = "meeting"
	bounce  = "bounce"
)

// letters are the entries of all files in letters, in the order of files.
var letters = sync.OnceValue(func() []*entry {
	files, err := lettersFS.ReadDir("letters")
	if err != nil {
		panic(err) // an embedded folder
	}
	var all []*entry
	for _, f := range files {
		text, err := lettersFS.ReadFile("letters/" + f.Name())
		if err != nil {
			panic(err)
		}
		all = append(all, mustRead(f.Name(), string(text))...)
	}
	return all
})

// trickle are the entries of trickle.txt. An answer to a conversation in letters answers
// its last letter.
var trickle = sync.OnceValue(func() []*entry {
	last := make(map[string]*entry)
	for _, e := range letters() {
		if !e.draft {
			last[e.topic] = e
		}
	}
	entries := mustRead("trickle.txt", trickleText)
	for _, e := range entries {
		parent := e.parent
		if e.answers != "" {
			if parent = last[e.answers]; parent == nil {
				panic(fmt.Sprintf("cast: %s: no conversation has the subject %q", e.place, e.answers))
			}
		}
		if parent != nil {
			e.follow(parent)
		}
	}
	return entries
})

func mustRead(name, text string) []*entry {
	entries, err := readScript(name, text)
	if err != nil {
		panic("cast: " + err.Error())
	}
	return entries
}

// readScript reads the letters of one file.
func readScript(name, text string) ([]*entry, error) {
	var entries []*entry
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for start := 0; start < len(lines); {
		end := start + 1
		for end < len(lines) && !strings.HasPrefix(lines[end], "@") {
			end++
		}
		e := &entry{
			place:  fmt.Sprintf("%s:%d", name, start+1),
			key:    fmt.Sprintf("%s %d", name, len(entries)),
			format: outlook,
		}
		if err := e.read(lines[start:end]); err != nil {
			return nil, fmt.Errorf("%s: %w", e.place, err)
		}
		if e.topic == "" && e.answers == "" {
			if len(entries) == 0 {
				return nil, fmt.Errorf("%s: the first letter needs a subject", e.place)
			}
			e.follow(entries[len(entries)-1])
		}
		entries = append(entries, e)
		start = end
	}
	return entries, nil
}

// follow makes the letter an answer to another.
func (e *entry) follow(parent *entry) {
	e.parent = parent
	e.topic = parent.topic
	e.language = parent.language
	e.subject = parent.language.answer() + parent.topic
}

// read takes the letter from its lines: the one with @, headings, a blank one, the body.
func (e *entry) read(lines []string) error {
	if err := e.readFirst(lines[0]); err != nil {
		return err
	}
	i := 1
	for ; i < len(lines) && lines[i] != ""; i++ {
		name, value, ok := strings.Cut(lines[i], ":")
		if !ok {
			return fmt.Errorf("%q is no heading; the body starts after a blank line", lines[i])
		}
		if err := e.setHeading(name, strings.TrimSpace(value)); err != nil {
			return err
		}
	}
	e.body = strings.TrimSpace(strings.Join(lines[i:], "\n"))
	return nil
}

// readFirst reads "@-12d 14:07 From > To, To"; the letters of the trickle have no time.
func (e *entry) readFirst(line string) error {
	moment, ok := strings.CutPrefix(line, "@")
	who := moment
	if ok && strings.HasPrefix(moment, "-") {
		days, rest, _ := strings.Cut(moment, " ")
		timeOfDay, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
		who = rest
		var err error
		if e.days, e.timeOfDay, err = readMoment(days, timeOfDay); err != nil {
			return err
		}
	}
	from, to, arrow := strings.Cut(who, " > ")
	if !ok || !arrow {
		return fmt.Errorf("%q is not like \"@-12d 14:07  From > To\"", line)
	}
	senders, err := readPeople(from)
	if err != nil {
		return err
	}
	if len(senders) != 1 {
		return fmt.Errorf("%q names not one sender", line)
	}
	e.from = senders[0]
	e.to, err = readPeople(to)
	return err
}

func readMoment(days, timeOfDay string) (int, time.Duration, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(days, "d"))
	if err != nil {
		return 0, 0, fmt.Errorf("%q is no number of working days such as -12d", days)
	}
	t, err := time.Parse("15:04", timeOfDay)
	if err != nil {
		return 0, 0, fmt.Errorf("%q is no time such as 14:07", timeOfDay)
	}
	return n, time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

func (e *entry) setHeading(name, value string) (err error) {
	switch name {
	case "Cc":
		e.cc, err = readPeople(value)
	case "Bcc":
		e.bcc, err = readPeople(value)
	case "Subject":
		e.subject, e.topic = value, value
	case "Reply":
		e.answers = value
	case "Language":
		e.language = language(value)
		if _, ok := languages[e.language]; !ok {
			err = fmt.Errorf("unknown language %q", value)
		}
	case "Format":
		e.format = value
		if !slices.Contains([]string{outlook, plain, rawHTML, meeting, bounce}, value) {
			err = fmt.Errorf("unknown format %q", value)
		}
	case "Starts":
		days, timeOfDay, _ := strings.Cut(value, " ")
		e.startDay, e.startTime, err = readMoment(days, timeOfDay)
	case "Bounced":
		e.bounced, err = mail.ParseAddress(value)
	case "Attach":
		for file := range strings.SplitSeq(value, ",") {
			file = strings.TrimSpace(file)
			if !slices.Contains([]string{".pdf", ".csv", ".png"}, path.Ext(file)) {
				err = fmt.Errorf("nobody knows what to put into %q; say .pdf, .csv or .png", file)
			}
			e.attach = append(e.attach, file)
		}
	case "Mark":
		err = e.setMark(value)
	default:
		e.extra = append(e.extra, header{textproto.CanonicalMIMEHeaderKey(name), value})
	}
	return err
}

func (e *entry) setMark(mark string) error {
	switch mark {
	case "unread":
		e.unread = true
	case "draft":
		e.draft = true
	default:
		return fmt.Errorf("unknown mark %q", mark)
	}
	return nil
}

// readPeople reads a list of names that we know and of "Name <address>".
func readPeople(list string) ([]person, error) {
	var found []person
	for s := range strings.SplitSeq(list, ",") {
		s = strings.TrimSpace(s)
		if p, ok := people()[s]; ok {
			found = append(found, p)
			continue
		}
		a, err := netmail.ParseAddress(s)
		if err != nil {
			return nil, fmt.Errorf("%q is neither a user or contact nor like \"Name <name@company.example>\"", s)
		}
		// The name may be known although the address is not: people have second ones.
		p := person{a.Name, mail.Address(strings.ToLower(a.Address)), people()[a.Name].signature}
		found = append(found, p)
	}
	return found, nil
}

// seed is a number that stays the same for the letter: for the seconds of its time and
// what is in its attachments.
func seed(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	var n uint64
	for _, b := range sum[:8] {
		n = n<<8 | uint64(b)
	}
	return n
}
