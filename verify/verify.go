// Package verify is the third program: it compares what Postern keeps in a data folder
// with what a simulated Exchange says is there, and says what was lost, doubled or decided
// wrongly.
//
// It shares no code with what it judges, nor with the simulator: it reads the database by
// SQL of its own and the simulator's record by the names of its JSON, and has its own
// reading of the rules. So a mistake in the matching, in the store or in a wire type does
// not hide itself by being made on both sides.
//
// It judges a state in which everything was caught up with: a mailbox that still waits is
// reported as one with undecided items. People and rules are taken as they stand in the
// database; what was filed under others is reported, too.
package verify

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Input is what is compared.
type Input struct {
	Database string    // the file in the data folder; it may be in use
	Truth    io.Reader // what stands in Exchange, an item a line
	// History is what happened in Exchange, an event a line. Without it nothing can be said
	// of messages whose every copy was deleted after they were filed. May be nil.
	History io.Reader
}

// A Finding is one difference.
type Finding struct {
	Mailbox   string // "" when it concerns no single one
	Item      string
	MessageID string
	What      string // one sentence
}

// A Report is the outcome of a comparison.
type Report struct {
	Items      int // that stand in folders that are collected
	ToFile     int // of these, that belong in the CRM
	Activities int

	Lost      []Finding // belongs in the CRM and is not there
	Doubled   []Finding // is there more than once
	Wrong     []Finding // is there and should not, or otherwise than it should
	Undecided []Finding // listed by Exchange and without a decision, or only filed in part

	First string // the first difference: what is known of it here, and its history there
}

// Differences is how many there are.
func (r Report) Differences() int {
	return len(r.Lost) + len(r.Doubled) + len(r.Wrong) + len(r.Undecided)
}

func (r Report) String() string {
	s := fmt.Sprintf("%d items in folders collected, %d of them to be filed, %d activities: %d lost, %d doubled, %d wrong, %d undecided",
		r.Items, r.ToFile, r.Activities, len(r.Lost), len(r.Doubled), len(r.Wrong), len(r.Undecided))
	if r.First != "" {
		s += "\n" + r.First
	}
	return s
}

// Compare compares. An error says that it could not, not that there is a difference.
func Compare(ctx context.Context, in Input) (Report, error) {
	db, err := open(in.Database)
	if err != nil {
		return Report{}, err
	}
	defer db.Close()
	kept, err := read(ctx, db)
	if err != nil {
		return Report{}, fmt.Errorf("read %s: %w", in.Database, err)
	}
	c := comparison{books: kept, standing: map[place]*item{}}
	if err := each(in.Truth, func(it *item) { c.standing[place{it.Mailbox, it.Item}] = it }); err != nil {
		return Report{}, fmt.Errorf("read the truth: %w", err)
	}
	if in.History != nil {
		c.history = &history{byIdentity: map[string][]*event{}, byItem: map[string][]*event{}}
		if err := each(in.History, c.happened); err != nil {
			return Report{}, fmt.Errorf("read the history: %w", err)
		}
	}
	c.run()
	return c.report, nil
}

// open opens a database that another process may be writing, to read alone.
func open(file string) (*sql.DB, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: "mode=rw&_pragma=busy_timeout(10000)&_pragma=query_only(1)"}
	return sql.Open("sqlite", u.String())
}

// A place is where an item stands: its id is of its mailbox.
type place struct{ mailbox, item string }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.mailbox, q.mailbox), cmp.Compare(p.item, q.item))
}

// A comparison is one run of Compare.
type comparison struct {
	*books
	standing map[place]*item
	history  *history // nil = not given
	report   Report
}

// happened takes up an event. A mailbox that got another address is the same mailbox.
func (c *comparison) happened(e *event) {
	if box := c.boxes[e.WasMailbox]; e.Kind == "mailbox-renamed" && box != nil && c.boxes[e.Mailbox] == nil {
		c.boxes[e.Mailbox] = box
	}
	c.history.add(e)
}

func (c *comparison) run() {
	c.report.Activities = c.activities
	var places []place
	for p := range c.standing {
		places = append(places, p)
	}
	slices.SortFunc(places, place.compare)
	held := map[int64][]*item{} // items that stand filed, by message
	for _, p := range places {
		if id := c.judgeItem(c.standing[p]); id != 0 {
			held[id] = append(held[id], c.standing[p])
		}
	}
	c.sameMessages(held)
	for _, id := range c.order {
		c.judgeMessage(c.messages[id], held[id])
	}
	c.judgeLeftovers()
	c.judgeDoubles()
	c.first()
}

func (c *comparison) lost(it *item, format string, args ...any) {
	c.report.Lost = append(c.report.Lost, it.finding(format, args...))
}

func (c *comparison) wrong(it *item, format string, args ...any) {
	c.report.Wrong = append(c.report.Wrong, it.finding(format, args...))
}

func (it *item) finding(format string, args ...any) Finding {
	return Finding{it.Mailbox, it.Item, it.MessageID, fmt.Sprintf(format, args...)}
}

// first describes the first difference.
func (c *comparison) first() {
	var f Finding
	var kind string
	for _, list := range []struct {
		kind string
		list []Finding
	}{{"lost", c.report.Lost}, {"doubled", c.report.Doubled}, {"wrong", c.report.Wrong}, {"undecided", c.report.Undecided}} {
		if len(list.list) > 0 {
			f, kind = list.list[0], list.kind
			break
		}
	}
	if kind == "" {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n  mailbox %s, item %s, Message-ID %s\n", kind, f.What, f.Mailbox, f.Item, f.MessageID)
	p := place{f.Mailbox, f.Item}
	if box := c.boxes[f.Mailbox]; box != nil {
		p.mailbox = box.address
	}
	if it := c.standing[place{f.Mailbox, f.Item}]; it != nil {
		fmt.Fprintf(&b, "  in Exchange: %s\n", it.line)
	}
	if d := c.decisions[p]; d != nil {
		fmt.Fprintf(&b, "  decision: %+v\n", *d)
	}
	if k := c.copies[p]; k != nil {
		fmt.Fprintf(&b, "  copy: %+v\n", *k)
		if m := c.messages[k.message]; m != nil {
			fmt.Fprintf(&b, "  message: %s\n", c.describe(m))
		}
	}
	for _, e := range c.history.of(f) {
		fmt.Fprintf(&b, "  history: %s\n", e.line)
	}
	c.report.First = b.String()
}

func (c *comparison) describe(m *message) string {
	s := fmt.Sprintf("%q of %s, Message-ID %q, missing %q, %d copies, %d activities", m.subject, m.from, m.messageID, m.missing, m.copies, m.activities)
	for _, p := range persons(m.links) {
		s += ", linked to " + c.name(p)
	}
	for _, user := range slices.Sorted(maps.Keys(m.mine)) {
		s += fmt.Sprintf(", of %s: %+v", c.name(person{'u', user}), *m.mine[user])
	}
	return s
}

func sorted[V any](m map[place]V) []place {
	var list []place
	for p := range m {
		list = append(list, p)
	}
	slices.SortFunc(list, place.compare)
	return list
}

func persons(m map[person]bool) []person {
	var list []person
	for p := range m {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b person) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) })
	return list
}
