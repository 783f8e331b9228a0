package cast

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/mail"
)

// A Letter is one message as it goes over the wire, Bcc included: whoever lays it into
// mailboxes shows Bcc to its sender only.
type Letter struct {
	Raw   []byte    // RFC 5322, CRLF
	Draft bool      // not sent: belongs into its writer's Drafts
	Read  bool      // by those who received it
	When  time.Time // of sending, in the zone of now, full seconds
}

// Letters returns the letters of the last twenty weeks, as seen from now, oldest first.
// All of them lie before now, at hours at which people work in the zone of now.
func Letters(now time.Time) []Letter {
	c := newClock(now)
	var made []Letter
	for _, e := range letters() {
		made = append(made, e.letter(e.issue(c)))
	}
	slices.SortStableFunc(made, func(a, b Letter) int { return a.When.Compare(b.When) })
	return made
}

// Trickle returns the n-th letter, from 0, of those that arrive while one is watching:
// sent now, unread, with a Message-ID of its own for each n. Some answer a conversation
// of Letters. When all texts have been used they begin anew.
func Trickle(now time.Time, n int) Letter {
	entries := trickle()
	e, round := entries[n%len(entries)], n/len(entries)
	return e.letter(issue{clock: newClock(now), when: now.Truncate(time.Second), round: round, fresh: true})
}

// An issue is one sending of an entry: each round of the trickle sends the same texts as
// new messages.
type issue struct {
	clock clock
	when  time.Time
	round int
	fresh bool // of the trickle
}

func (e *entry) issue(c clock) issue {
	second := time.Duration(seed(e.key)%60) * time.Second
	return issue{clock: c, when: c.at(e.days, e.timeOfDay+second)}
}

// parentIssue is the sending of the letter that this one answers: one of Letters, or an
// earlier one of the same round, whose exact time nobody knows any more.
func (e *entry) parentIssue(i issue) issue {
	if i.fresh && e.answers == "" {
		return issue{clock: i.clock, when: i.when.Add(-time.Minute), round: i.round, fresh: true}
	}
	return e.parent.issue(i.clock)
}

func (e *entry) letter(i issue) Letter {
	return Letter{
		Raw:   e.message(i),
		Draft: e.draft,
		Read:  !e.unread && !i.fresh,
		When:  i.when,
	}
}

// messageID does not hang on the time, so that the trickle can answer what was laid into
// the mailboxes before.
func (e *entry) messageID(i issue) string {
	key := e.key
	if i.round > 0 {
		key += " " + strconv.Itoa(i.round)
	}
	return fmt.Sprintf("<%016x@%s>", seed(key), e.from.address.Domain())
}

// references returns the Message-IDs of the conversation so far, oldest first.
func (e *entry) references(i issue) []string {
	if e.parent == nil {
		return nil
	}
	above := e.parentIssue(i)
	return append(e.parent.references(above), e.parent.messageID(above))
}

// message compiles the letter.
func (e *entry) message(i issue) []byte {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	field("From", formatPeople([]person{e.from}))
	field("To", formatPeople(e.to))
	field("Cc", formatPeople(e.cc))
	field("Bcc", formatPeople(e.bcc))
	field("Subject", encodeWords(e.fill(i, e.subject)))
	field("Date", i.when.Format(time.RFC1123Z))
	field("Message-ID", e.messageID(i))
	if references := e.references(i); len(references) > 0 {
		field("In-Reply-To", references[len(references)-1])
		field("References", strings.Join(references, "\r\n "))
	}
	for _, h := range e.extra {
		field(h.name, h.value)
	}
	field("MIME-Version", "1.0")
	content := e.content(i)
	for _, h := range content.headers {
		field(h.name, h.value)
	}
	b.WriteString("\r\n")
	b.Write(content.body)
	return []byte(b.String())
}

// formatPeople writes a list of addresses, one a line.
func formatPeople(list []person) string {
	var written []string
	for _, p := range list {
		written = append(written, formatPerson(p.name, p.address))
	}
	return strings.Join(written, ",\r\n ")
}

func formatPerson(name string, address mail.Address) string {
	switch encoded := encodeWords(name); {
	case name == "":
		return string(address)
	case encoded != name:
		return encoded + " <" + string(address) + ">"
	default:
		return strconv.Quote(name) + " <" + string(address) + ">"
	}
}
