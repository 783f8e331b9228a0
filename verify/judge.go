package verify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// judgeItem judges what became of an item that stands in Exchange, and returns the message
// that it is filed as; 0 = none.
func (c *comparison) judgeItem(it *item) int64 {
	box := c.boxes[it.Mailbox]
	if box == nil {
		return 0
	}
	rules := c.orgs[box.org]
	d := c.decisions[place{box.address, it.Item}]
	limits := c.limits(box.org, it.Mailbox)
	if !rules.collects(it, &limits) {
		if d != nil {
			c.wrong(it, "it has a decision, although its folder %s is not collected", it.FolderPath)
		}
		return 0
	}
	c.report.Items++
	belongs := rules.belongs(it, &limits)
	if belongs {
		c.report.ToFile++
	}
	if d == nil {
		c.report.Undecided = append(c.report.Undecided, it.finding("it stands in %s and has no decision", it.FolderPath))
		return 0
	}
	if d.folder != it.Folder {
		c.wrong(it, "its decision says that it lies in folder %s", d.folder)
	}
	switch {
	case d.outcome == "filed":
		if once, _ := c.past(it.identity(), box.org); !belongs && len(once) == 0 {
			c.wrong(it, "it was filed and does not belong in the CRM")
		}
		return c.judgeCopy(it, box)
	case belongs && !it.unreadable():
		c.lost(it, "it belongs in the CRM and was decided %s (%s)", d.outcome, d.reason)
	case d.outcome != "not_filed" && !it.unreadable():
		c.wrong(it, "it does not belong in the CRM and was decided %s (%s)", d.outcome, d.reason)
	}
	return 0
}

// judgeCopy judges what stands behind the decision that an item is filed.
func (c *comparison) judgeCopy(it *item, box *box) int64 {
	k := c.copies[place{box.address, it.Item}]
	switch {
	case k == nil:
		c.lost(it, "it is said to be filed, and there is no copy of it")
		return 0
	case k.away:
		c.wrong(it, "its copy is said to be gone or missing, and it stands in %s", it.FolderPath)
	case k.folder != it.Folder:
		c.wrong(it, "its copy is said to lie in folder %s", k.folder)
	}
	m := c.messages[k.message]
	switch {
	case m == nil || !m.whole:
		c.lost(it, "it is said to be filed, and its message is not there")
		return 0
	case m.activities == 0:
		c.lost(it, "it is said to be filed, and there is no activity")
	}
	if !it.sameAs(m) {
		c.wrong(it, "it is filed as another message, %s of %s", cmp.Or(m.messageID, "without a Message-ID"), m.from)
	}
	return k.message
}

// sameMessages finds items that are one message and stand as several.
func (c *comparison) sameMessages(held map[int64][]*item) {
	first := map[string][]*item{} // of each message, by identity
	of := map[*item]int64{}
	for _, id := range c.order {
		for _, it := range held[id] {
			of[it] = id
			identity := it.identity()
			i := slices.IndexFunc(first[identity], it.sameMessage)
			switch {
			case i < 0:
				first[identity] = append(first[identity], it)
			case of[first[identity][i]] != id && usable(it.MessageID) != "":
				c.report.Doubled = append(c.report.Doubled, it.finding("it is filed as another message than its copy in %s", first[identity][i].Mailbox))
			}
		}
	}
}

// judgeMessage judges a message that is filed, of which these copies stand.
func (c *comparison) judgeMessage(m *message, standing []*item) {
	if m.activities == 0 || !m.whole {
		return // and lost, if something stands
	}
	at := func(format string, args ...any) {
		f := Finding{MessageID: m.messageID, What: fmt.Sprintf(format, args...)}
		if len(standing) > 0 {
			f.Mailbox, f.Item = standing[0].Mailbox, standing[0].Item
		}
		c.report.Wrong = append(c.report.Wrong, f)
	}
	rules := c.orgs[m.org]
	must, may := map[person]bool{}, map[person]bool{}
	users := map[int64][]*item{} // whose mailboxes hold it
	for _, it := range standing {
		for p := range rules.links(it) {
			must[p], may[p] = true, true
		}
		user := c.boxes[it.Mailbox].user
		users[user] = append(users[user], it)
		if m.missing != "" && m.missing != "withheld" && it.Damage == "" && !it.Ghost {
			c.report.Undecided = append(c.report.Undecided, it.finding("it is filed in part (%s missing), and Exchange has all of it", m.missing))
		}
	}
	past, told := c.past(m.identity(), m.org)
	for _, it := range past {
		for p := range rules.links(it) {
			may[p] = true
		}
	}
	if len(standing) == 0 && told && len(past) == 0 {
		at("it was filed, and no such message ever belonged in the CRM")
		return
	}
	c.judgeWithheld(m, standing, at)
	for _, p := range persons(must) {
		if !m.links[p] {
			at("the link to %s is missing", c.name(p))
		}
	}
	if told || m.copies == len(standing) {
		for _, p := range persons(m.links) {
			if !may[p] {
				at("it is linked to %s, who is not on it", c.name(p))
			}
		}
	}
	c.judgeMine(m, users, past, told, at)
}

// judgeWithheld judges what is kept of a message's text and attachments. What one of the
// mailboxes that hold it lets be fetched may be there; without any, nobody can tell.
func (c *comparison) judgeWithheld(m *message, standing []*item, at func(string, ...any)) {
	if len(standing) == 0 {
		return
	}
	text, largest := false, int64(-1)
	for _, it := range standing {
		l := c.limits(m.org, it.Mailbox)
		text = text || !l.HeadersOnly
		if l.Attachments != "names" {
			largest = max(largest, l.AttachmentLimit)
		}
	}
	switch {
	case !text && m.missing == "":
		at("its text is kept, and headers alone are to be")
	case text && m.missing == "withheld":
		c.report.Undecided = append(c.report.Undecided, standing[0].finding("it is filed by its header alone, and its text may be fetched"))
	}
	for _, size := range m.contents {
		if size > largest {
			at("the content of an attachment of %d bytes is kept, and is not to be", size)
		}
	}
}

// judgeMine judges the rows of My Emails.
func (c *comparison) judgeMine(m *message, users map[int64][]*item, past []*item, told bool, at func(string, ...any)) {
	for _, user := range slices.Sorted(maps.Keys(users)) {
		list, row := users[user], m.mine[user]
		switch {
		case row == nil:
			at("it is not in My Emails of %s, whose mailbox holds it", c.name(person{'u', user}))
			continue
		case row.gone:
			at("it is gone from My Emails of %s, whose mailbox holds it", c.name(person{'u', user}))
		}
		unread := slices.ContainsFunc(list, func(it *item) bool { return !it.Read })
		if row.unread != unread && !slices.ContainsFunc(list, (*item).unreadable) {
			at("My Emails of %s says unread = %t", c.name(person{'u', user}), row.unread)
		}
	}
	if !told {
		return
	}
	had := map[int64]bool{}
	for _, it := range past {
		if b := c.boxes[it.Mailbox]; b != nil {
			had[b.user] = true
		}
	}
	for _, user := range slices.Sorted(maps.Keys(m.mine)) {
		if users[user] == nil && !had[user] && c.owners[user] != nil {
			at("it is in My Emails of %s, whose mailbox never held it", c.name(person{'u', user}))
		}
	}
}

// judgeLeftovers finds what is said to stand in Exchange and does not, and rows that refer
// to no message.
func (c *comparison) judgeLeftovers() {
	stands := map[place]bool{}
	for p := range c.standing {
		if box := c.boxes[p.mailbox]; box != nil {
			stands[place{box.address, p.item}] = true
		}
	}
	for _, p := range sorted(c.decisions) {
		if !stands[p] {
			c.report.Wrong = append(c.report.Wrong, Finding{Mailbox: p.mailbox, Item: p.item, What: "it has a decision and is not in Exchange"})
		}
	}
	for _, p := range sorted(c.copies) {
		if k := c.copies[p]; !k.away && c.decisions[p] == nil && !stands[p] {
			c.report.Wrong = append(c.report.Wrong, Finding{Mailbox: p.mailbox, Item: p.item, What: "its copy is said to be in Exchange and is not"})
		}
	}
	for _, id := range c.order {
		if m := c.messages[id]; !m.whole {
			c.report.Wrong = append(c.report.Wrong, Finding{What: fmt.Sprintf("activities or rows of My Emails refer to message %d, which is not there", id)})
		}
	}
}

// judgeDoubles finds what stands twice in the tables.
func (c *comparison) judgeDoubles() {
	twins := map[string]*message{}
	for _, id := range c.order {
		m := c.messages[id]
		if m.activities > 1 {
			c.double(m, "it has %d activities", m.activities)
		}
		for _, user := range slices.Sorted(maps.Keys(m.mine)) {
			if times := m.mine[user].times; times > 1 {
				c.double(m, "it is in My Emails of %s %d times", c.name(person{'u', user}), times)
			}
		}
		if m.twin == "" {
			continue
		}
		if twins[m.twin] != nil {
			c.double(m, "it stands twice among the messages")
		}
		twins[m.twin] = m
	}
	for _, p := range c.repeated {
		c.report.Doubled = append(c.report.Doubled, Finding{Mailbox: p.mailbox, Item: p.item, What: "it has more than one decision or copy"})
	}
}

func (c *comparison) double(m *message, format string, args ...any) {
	c.report.Doubled = append(c.report.Doubled, Finding{MessageID: m.messageID, What: fmt.Sprintf(format, args...)})
}
