package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"

	"postern/crm"
)

// A LedgerRow is one decision as it stands, and what is wrong with it.
type LedgerRow struct {
	Item    string
	Outcome crm.Outcome
	Reason  crm.Reason
	Missing crm.Missing // filed in part
	Problem string      // one sentence when rows that belong to it are missing or altered; "" = sound
}

// Ledger hands the decisions about the items of a folder to each, or of all folders of
// the mailbox if folder is 0, and says of each whether all is there that it stands for:
// for a filed item its copy, message with text and seal, participants, activity, links,
// attachments with content, the entry in My Emails and in the search index; for a partial
// message also the time to try for the rest, unless that was left; for the others the
// traces by which they are found again. Whatever row is missing, the item is
// named: with a problem, or by not coming at all.
func (o *Org) Ledger(ctx context.Context, box crm.MailboxID, folder crm.FolderID, each func(LedgerRow) error) error {
	decisions, err := ids(ctx, o.read(), "select id from decision where org_id = $1 and mailbox_id = $2 and (folder_id = $3 or $3 = 0) order by id",
		o.id, box, folder)
	if err != nil {
		return err
	}
	for part := range parts(decisions) {
		list, err := o.evidence(ctx, part)
		if err != nil {
			return err
		}
		if err := o.contents(ctx, list); err != nil {
			return err
		}
		for _, e := range list {
			if err := each(LedgerRow{Item: e.item, Outcome: e.outcome, Reason: e.reason, Missing: e.missing, Problem: e.problem()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// evidence is what stands in the tables about one decision.
type evidence struct {
	id               int64
	item             string
	hash             []byte
	outcome          crm.Outcome
	reason           crm.Reason
	due              int64
	traces           []byte
	copy             int64 // the message that its copy belongs to; 0 = no copy
	copyGone         bool  // or missing
	folder, inFolder int64
	message          int64 // 0 = none
	missing          crm.Missing
	seal, expected   []byte
	body             bool
	people, links    checksum // as announced
	parties, linked  checksum // of the rows there
	activity         int64

	attachments   int
	attached      int
	mine, indexed bool
	traced        int
	lostBlob      string // name of an attachment whose content is not there
}

func (o *Org) evidence(ctx context.Context, decisions []int64) ([]*evidence, error) {
	var list []*evidence
	err := in(ctx, o.read(), `select d.id, d.item, d.item_hash, d.outcome, d.reason, d.due_at, d.traces, d.folder_id,
			coalesce(c.message_id, 0), coalesce(c.missing_at + c.gone_at, 0) <> 0, coalesce(c.folder_id, 0),
			coalesce(m.id, 0), m.seal, coalesce(m.missing, ''), coalesce(m.subject, ''), coalesce(m.from_address, ''), coalesce(m.sent_at, 0),
			b.message_id is not null, coalesce(b.html, ''), coalesce(b.text, ''),
			coalesce(m.people, 0), coalesce(a.id, 0), coalesce(a.links, 0),
			coalesce(m.attachments, 0), (select count(*) from attachment t where t.org_id = m.org_id and t.message_id = m.id),
			u.message_id is not null, `+o.db.indexed+`
		from decision d
		join mailbox x on x.id = d.mailbox_id
		left join copy c on c.org_id = d.org_id and c.mailbox_id = d.mailbox_id and c.item_hash = d.item_hash
		left join message m on m.org_id = c.org_id and m.id = c.message_id
		left join body b on b.message_id = m.id
		left join activity a on a.org_id = m.org_id and a.message_id = m.id and a.kind = 'email' and a.when_at = m.when_at
		left join user_message u on u.org_id = m.org_id and u.user_id = x.user_id and u.when_at = m.when_at and u.message_id = m.id
		where d.org_id = $1 and d.id in (%s) order by d.id`, []any{o.id}, decisions, func(r *sql.Rows) error {
		var e evidence
		var subject, from, html, text string
		var sent, people, links int64
		if err := r.Scan(&e.id, &e.item, &e.hash, &e.outcome, &e.reason, &e.due, &e.traces, &e.folder,
			&e.copy, &e.copyGone, &e.inFolder, &e.message, &e.seal, &e.missing, &subject, &from, &sent, &e.body, &html, &text,
			&people, &e.activity, &links, &e.attachments, &e.attached, &e.mine, &e.indexed); err != nil {
			return err
		}
		e.people, e.links = checksum(people), checksum(links)
		e.expected = seal(subject, from, sent, html, text, e.missing)
		list = append(list, &e)
		return nil
	})
	return list, err
}

// contents looks up what is no single row: participants and links, the files of
// attachments, and the traces of what was not filed.
func (o *Org) contents(ctx context.Context, list []*evidence) error {
	if len(list) == 0 {
		return nil
	}
	byMessage := map[int64][]*evidence{}
	var messages, activities []int64
	for _, e := range list {
		byMessage[e.message] = append(byMessage[e.message], e)
		messages, activities = append(messages, e.message), append(activities, e.activity)
	}
	parties, err := o.peopleSums(ctx, o.read(), unique(messages))
	if err != nil {
		return err
	}
	linked, err := o.linkSums(ctx, o.read(), unique(activities))
	if err != nil {
		return err
	}
	for _, e := range list {
		e.parties, e.linked = parties[e.message], linked[e.activity]
	}
	err = o.lostBlobs(ctx, messages, func(message int64, name string) {
		for _, e := range byMessage[message] {
			e.lostBlob = name
		}
	})
	if err != nil {
		return err
	}
	return o.traced(ctx, list)
}

// traced counts the traces of what was not filed.
func (o *Org) traced(ctx context.Context, list []*evidence) error {
	byID := map[int64]*evidence{}
	var hashes []int64
	for _, e := range list {
		byID[e.id] = e
		hashes = append(hashes, unpackTraces(e.traces)...)
	}
	return in(ctx, o.read(), "select decision_id from trace where org_id = $1 and decision_id between $2 and $3 and hash in (%s)",
		[]any{o.id, list[0].id, list[len(list)-1].id}, unique(hashes), func(r *sql.Rows) error {
			var id int64
			if err := r.Scan(&id); err != nil {
				return err
			}
			if e := byID[id]; e != nil {
				e.traced++
			}
			return nil
		})
}

// problem says what is wrong; "" = nothing.
func (e *evidence) problem() string {
	switch e.outcome {
	case crm.Filed:
		return e.filedProblem()
	case crm.NotFiled, crm.Failed:
		switch {
		case e.copy != 0 && !e.copyGone:
			return "not filed, but a copy of it stands here"
		case e.traced != len(e.traces)/8:
			return "not filed, and a trace by which it would be found again is missing"
		case e.outcome == crm.Failed && e.due == 0:
			return "failed, but no time is set to try it again"
		}
		return ""
	}
	return fmt.Sprintf("its outcome is %q, which there is not", e.outcome)
}

func (e *evidence) filedProblem() string {
	switch {
	case !bytes.Equal(e.hash, hashOf(e.item)):
		return "filed, but its item id was altered"
	case e.copy == 0:
		return "filed, but its copy is missing"
	case e.copyGone:
		return "filed and listed, but its copy is marked as missing or gone"
	case e.inFolder != e.folder:
		return "filed, but its copy stands in another folder"
	case e.message == 0:
		return "filed, but its message is missing"
	case !e.body:
		return "filed, but its text is missing"
	case !bytes.Equal(e.seal, e.expected):
		return "filed, but its subject, sender, date or text, or what is missing of it, was altered"
	case owes(e.missing) && e.due == 0 && e.reason != crm.Left && e.reason != crm.Withheld:
		return "filed in part, but no time is set to try for the rest"
	case e.people != e.parties:
		return "filed, but a participant is missing or was altered"
	case e.activity == 0:
		return "filed, but its activity is missing"
	case e.links != e.linked:
		return "filed, but a link to a contact or user is missing or was altered"
	case e.attachments != e.attached:
		return fmt.Sprintf("filed with %d attachments, but %d are here", e.attachments, e.attached)
	case e.lostBlob != "":
		return fmt.Sprintf("filed, but the content of its attachment %q is missing", e.lostBlob)
	case !e.mine:
		return "filed, but it is missing from My Emails of the mailbox' user"
	case !e.indexed:
		return "filed, but the search does not know it"
	}
	return ""
}

func hashOf(item string) []byte {
	hash := hash16(item)
	return hash[:]
}
