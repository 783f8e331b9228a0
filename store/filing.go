package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"unicode/utf8"

	"postern/crm"
	"postern/mail"
)

// A filing is a message on its way into the database: all that can be worked out before
// the transaction begins.
type filing struct {
	*entry
	key         []byte // 'm' or 'f' and 16 bytes of crm.Item.Key
	sent, when  int64
	from        string
	subject     string
	html, text  string
	people      []party
	links       []crm.Link
	refs        []int64
	attachments []attachmentRow
	words       [4]string // for the search index: subject, sender, recipient, text
	missing     crm.Missing
	code, why   string // of what is missing

	// What the transaction finds out, anew each time it is run.
	thread      int64
	message     int64
	messageWhen int64     // the first copy says when
	partial     *standing // a partial message that the filing may complete; nil = none
	left        int64     // the message that its copy was one of until now, when that is another
	fresh       bool      // the message came with this page, by this filing
	whole       bool      // it stood already and lacks nothing that the filing has
	activity    int64
}

// A party is a participant as its row has it.
type party struct {
	part     crm.Part
	who      string
	box      crm.MailboxID
	position int
	name     string
	readable bool
}

// prepare makes the filings of a page, sorted by key, so that all transactions take the
// rows of messages in the same order.
func (o *Org) prepare(ctx context.Context, entries []*entry, box *crm.Mailbox) ([]*filing, error) {
	var list []*filing
	var limits *crm.Limits // read when there are attachments to judge
	for _, e := range entries {
		if e.Item == nil {
			continue
		}
		f := newFiling(e, box.ID)
		if len(e.Item.Attachments) > 0 {
			if limits == nil {
				g, err := o.Grant(ctx, box)
				if err != nil {
					return nil, err
				}
				limits = &g.Limits
			}
			var err error
			if f.attachments, err = o.newAttachments(ctx, e.Item, limits); err != nil {
				return nil, err
			}
		}
		list = append(list, f)
	}
	slices.SortStableFunc(list, func(a, b *filing) int {
		return cmp.Or(bytes.Compare(a.key, b.key), cmp.Compare(lack(a.missing), lack(b.missing)))
	})
	return list, nil
}

func newFiling(e *entry, box crm.MailboxID) *filing {
	it := e.Item
	f := &filing{
		entry: e, key: messageKey(it), sent: micros(it.Sent), when: micros(it.When()),
		subject: clean(it.Subject), html: clean(it.HTML), text: clean(it.Text),
		people: parties(it.People, box), links: distinctLinks(e.Decision.Links), refs: threadRefs(it),
		missing: it.Missing,
	}
	if f.missing != crm.NothingMissing {
		f.key = textlessKey(it)
		if it.Fault != nil {
			f.code, f.why = clean(it.Fault.Code), clean(it.Fault.Message)
		}
	}
	for _, p := range f.people {
		if p.part == crm.From {
			f.from = p.who
			break
		}
	}
	f.words = [4]string{
		fold(f.subject, indexedText),
		peopleWords(it.People, crm.From, crm.Sender),
		peopleWords(it.People, crm.To, crm.Cc),
		fold(f.text, indexedText),
	}
	return f
}

// messageKey is the first half of the key: 128 bits tell messages apart, and two that
// somebody made to meet are told apart as variants.
func messageKey(it *crm.Item) []byte {
	kind, digits, _ := strings.Cut(it.Key(), ":")
	sum, err := hex.DecodeString(digits)
	if err != nil {
		panic("crm.Item.Key is not hexadecimal")
	}
	return append([]byte(kind), sum[:16]...)
}

// parties makes the rows of participants, each address once in a part. A Bcc belongs to
// the mailbox whose copy carries it.
func parties(people []crm.Participant, box crm.MailboxID) []party {
	list := make([]party, 0, len(people))
	for i, p := range people {
		row := party{part: p.Part, who: string(p.Address), position: i, name: clean(p.Name), readable: p.Address != ""}
		if !row.readable {
			row.who = clean(p.Raw)
		}
		if p.Part == crm.Bcc {
			row.box = box
		}
		same := func(q party) bool { return q.part == row.part && q.who == row.who }
		if row.who+row.name != "" && !slices.ContainsFunc(list, same) {
			list = append(list, row)
		}
	}
	return list
}

// distinctLinks keeps one link for each person, by the most open part.
func distinctLinks(links []crm.Link) []crm.Link {
	var list []crm.Link
	for _, l := range links {
		i := slices.IndexFunc(list, func(k crm.Link) bool { return k.Contact == l.Contact && k.User == l.User })
		switch {
		case i < 0:
			list = append(list, l)
		case list[i].Part == crm.Bcc:
			list[i] = l
		}
	}
	return list
}

// seal is a hash of what a message says and lacks, by which an alteration is noticed.
func seal(subject, from string, sent int64, html, text string, missing crm.Missing) []byte {
	h := sha256.New()
	for _, s := range []string{subject, from, html, text, string(missing)} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(sent))
	h.Write(n[:])
	return h.Sum(nil)[:16]
}

// A checksum tells whether rows are all there and unaltered, whatever their order: it is
// the sum of their hashes.
type checksum uint64

func (c *checksum) add(fields ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q", fields)
	*c += checksum(h.Sum64())
}

func (c *checksum) addParty(p party) { c.add(string(p.part), p.who, int64(p.box), p.name) }

func (c *checksum) addLink(person string, id int64, a mail.Address, part crm.Part) {
	c.add(person, id, string(a), string(part))
}

// column is the checksum as it is kept.
func (c checksum) column() int64 { return int64(c) }

func (f *filing) peopleSum() (c checksum) {
	for _, p := range f.people {
		c.addParty(p)
	}
	return c
}

func (f *filing) linksSum() (c checksum) {
	for _, l := range f.links {
		person, id := personOf(l)
		c.addLink(person, id, l.Address, l.Part)
	}
	return c
}

// preview is the beginning of a text in one line, without what it quotes.
func preview(text string) string {
	const length = 200
	own, _ := mail.TrimQuoted(text[:min(len(text), 3*length)])
	var b strings.Builder
	for word := range strings.FieldsSeq(own) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if b.Len()+len(word) > length {
			cut := max(0, length-b.Len())
			for cut > 0 && cut < len(word) && !utf8.RuneStart(word[cut]) {
				cut--
			}
			b.WriteString(word[:min(cut, len(word))])
			b.WriteString("…")
			break
		}
		b.WriteString(word)
	}
	return strings.ToValidUTF8(b.String(), "")
}

// sameMessage tells whether a filing is another copy of a message with its key. Broken
// senders use one Message-ID for several messages, so sender and subject with the time
// must agree; a text that a list or gateway has put a footer under is no difference.
func (f *filing) sameMessage(from, subject string, sent int64) bool {
	if f.from != from {
		return false
	}
	const near = 2 * 60 * 1e6
	if sent == 0 || f.sent == 0 || sent-f.sent <= near && f.sent-sent <= near {
		return true
	}
	return slices.Equal(strings.Fields(f.subject), strings.Fields(subject))
}
