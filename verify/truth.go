package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// An item is one that stands, or stood, in a mailbox, as the simulator tells it.
type item struct {
	Mailbox     string   `json:"mailbox"`
	Item        string   `json:"item"`
	Folder      string   `json:"folder"`
	FolderPath  string   `json:"folder_path"`
	FolderRole  string   `json:"folder_role"`
	FolderClass string   `json:"folder_class"`
	Above       []string `json:"above"`
	MessageID   string   `json:"message_id"`
	Subject     string   `json:"subject"`
	From        []string `json:"from"`
	Sender      []string `json:"sender"`
	To          []string `json:"to"`
	Cc          []string `json:"cc"`
	Bcc         []string `json:"bcc"`
	Class       string   `json:"class"`
	Sensitivity string   `json:"sensitivity"`
	Categories  []string `json:"categories"`
	Size        int64    `json:"size"`
	Draft       bool     `json:"draft"`
	Read        bool     `json:"read"`
	Sent        int64    `json:"sent"`
	Received    int64    `json:"received"`
	Damage      string   `json:"damage"`
	Ghost       bool     `json:"ghost"`

	line string // as told
}

func (it *item) told(line string) { it.line = line }

// An event is a line of the history.
type event struct {
	item
	Kind       string `json:"kind"`
	WasItem    string `json:"was_item"`
	WasMailbox string `json:"was_mailbox"`
}

// each reads JSON, one object a line.
func each[T any, P interface {
	*T
	told(string)
}](r io.Reader, take func(P)) error {
	d := json.NewDecoder(r)
	for n := 1; ; n++ {
		var line json.RawMessage
		err := d.Decode(&line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		v := P(new(T))
		if err == nil {
			err = json.Unmarshal(line, v)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		v.told(string(bytes.Clone(line)))
		take(v)
	}
}

// collected tells whether the item lies in a folder that is collected: one of mail, but
// not junk, deleted mail, drafts or the outbox, nor beneath one.
func (it *item) collected() bool {
	class := strings.ToLower(it.FolderClass)
	if class != "" && class != "ipf.note" && class != "ipf.imap" && !strings.HasPrefix(class, "ipf.note.") && !strings.HasPrefix(class, "ipf.imap.") {
		return false
	}
	return !slices.ContainsFunc(append([]string{it.FolderRole}, it.Above...), func(role string) bool {
		return role == "drafts" || role == "outbox" || role == "deleteditems" || role == "junkemail"
	})
}

// unreadable tells whether Exchange itself cannot even say who wrote the item to whom.
func (it *item) unreadable() bool { return it.Damage == "all" || it.Ghost }

// usable is a Message-ID without brackets, blanks and the case of its right side; "" when
// it names nothing, as the constants do that broken senders give to all of their mail.
func usable(id string) string {
	if _, after, ok := strings.Cut(id, "<"); ok {
		id, _, _ = strings.Cut(after, ">")
	}
	id = strings.Join(strings.Fields(id), "")
	at := strings.LastIndexByte(id, '@')
	if at <= 0 || at == len(id)-1 || len(id) > 998 {
		return ""
	}
	left, right := id[:at], strings.ToLower(id[at+1:])
	if strings.ToLower(left) == right { // null@null
		return ""
	}
	return left + "@" + right
}

// identity is what copies of one message have in common. Messages that only bear one
// Message-ID have it in common, too; see sameMessage.
func (it *item) identity() string {
	return identity(it.MessageID, first(it.From), it.Subject, it.Sent/1e9)
}

func identity(messageID, from, subject string, sent int64) string {
	if id := usable(messageID); id != "" {
		return id
	}
	return fmt.Sprintf("%s\n%d\n%s", from, sent, strings.Join(strings.Fields(subject), " "))
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// sameMessage tells two items of one identity apart: broken senders give one Message-ID to
// several messages, but not in the same name and either at the same time or about the
// same thing.
func (it *item) sameMessage(other *item) bool {
	return agree(first(it.From), first(other.From), it.Subject, other.Subject, it.Sent, other.Sent)
}

func agree(from, otherFrom, subject, otherSubject string, sent, otherSent int64) bool {
	if from != otherFrom {
		return false
	}
	apart := time.Duration(sent - otherSent).Abs()
	return sent == 0 || otherSent == 0 || apart <= 2*time.Minute || slices.Equal(strings.Fields(subject), strings.Fields(otherSubject))
}

// sameAs tells whether the item is a copy of the message.
func (it *item) sameAs(m *message) bool {
	if usable(it.MessageID) != usable(m.messageID) {
		return false
	}
	return agree(first(it.From), m.from, it.Subject, m.subject, it.Sent, m.sent*1e3)
}

// A history is what happened, found by message and by item.
type history struct {
	byIdentity map[string][]*event
	byItem     map[string][]*event
}

func (h *history) add(e *event) {
	if e.Item == "" {
		return // of a folder or a mailbox as a whole
	}
	h.byIdentity[e.identity()] = append(h.byIdentity[e.identity()], e)
	h.byItem[e.Item] = append(h.byItem[e.Item], e)
	if e.WasItem != "" {
		h.byItem[e.WasItem] = append(h.byItem[e.WasItem], e)
	}
}

// past returns the items of a message that ever belonged in the CRM and lay where mail is
// collected. told is false when there is no history to say.
func (c *comparison) past(identity string, org int64) (list []*item, told bool) {
	if c.history == nil {
		return nil, false
	}
	rules := c.orgs[org]
	for _, e := range c.history.byIdentity[identity] {
		limits := c.limits(org, e.Mailbox)
		if e.Kind != "deleted" && rules.collects(&e.item, &limits) && rules.belongs(&e.item, &limits) {
			list = append(list, &e.item)
		}
	}
	return list, true
}

// limits are those that hold in a mailbox; of one that is not collected, the organization's.
func (c *comparison) limits(org int64, mailbox string) limits {
	rules := c.orgs[org]
	if box := c.boxes[mailbox]; box != nil && box.org == org {
		return rules.in(rules.own[box.user])
	}
	return rules.in(limits{})
}

// of returns what happened to the message or item of a finding.
func (h *history) of(f Finding) []*event {
	switch {
	case h == nil:
		return nil
	case usable(f.MessageID) != "":
		return h.byIdentity[usable(f.MessageID)]
	}
	return h.chain(f.Item)
}

// chain follows an item through its moves, in both directions.
func (h *history) chain(item string) []*event {
	var list []*event
	seen := map[*event]bool{}
	ids := []string{item}
	for i := 0; i < len(ids); i++ {
		for _, e := range h.byItem[ids[i]] {
			if seen[e] {
				continue
			}
			seen[e] = true
			list = append(list, e)
			for _, id := range []string{e.Item, e.WasItem} {
				if id != "" && !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
		}
	}
	return list
}
