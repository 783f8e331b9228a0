package conformance

import (
	"errors"
	"io"
	"testing"

	"postern/crm"
)

// Reader tries the parts of a source that change nothing on a mailbox as it is, such as
// one of a real server. It reads at most limit items of each folder, and logs numbers
// only, nothing of what the mailbox holds.
func Reader(t *testing.T, src crm.Source, box *crm.Mailbox, limit int) {
	b := &bench{T: t, Fixture: Fixture{Source: src}, box: box}
	b.folders = b.listFolders(box)
	for _, role := range []crm.Role{crm.Inbox, crm.SentItems, crm.Drafts, crm.DeletedItems} {
		if b.folders[role].ID == "" {
			t.Errorf("no folder has the role %s", role)
		}
	}
	for _, role := range []crm.Role{crm.Inbox, crm.SentItems} {
		t.Run(string(role), func(t *testing.T) {
			part := *b
			part.T = t
			part.readFolder(b.folders[role], limit)
		})
	}
}

var errEnough = errors.New("enough")

// readFolder follows one folder and looks at what it holds from all sides.
func (b *bench) readFolder(f crm.Folder, limit int) {
	l := &listing{headers: make(map[string]crm.Header), updates: make(map[string]int)}
	more := true
	for more && len(l.headers) < limit {
		more = b.step(f, l)
	}
	b.Logf("%d items on %d pages, more: %v", len(l.headers), len(l.pages), more)
	again, err := b.Source.Changes(b.Context(), b.box, f, "")
	if err != nil {
		b.Fatalf("the first page again: %v", err)
	}
	if first, second := len(l.pages[0].Headers), len(again.Headers); first != second {
		b.Logf("the first page had %d headers, then %d: the mailbox is in use", first, second)
	}

	var headers []crm.Header
	attachments := 0
	for _, h := range l.headers {
		if h.Fault != nil {
			b.Logf("a header could not be had: %s", h.Fault.Code)
			continue
		}
		if h.Class == "" || h.Version == "" || h.When().IsZero() && !h.Draft {
			b.Errorf("a header without class, version or time: %q, %q, %v", h.Class, h.Version, h.When())
		}
		headers = append(headers, h)
	}
	var listed []crm.Enclosure
	for _, it := range b.load(headers...) {
		b.texts(it)
		if it.Fault != nil {
			b.Logf("a body could not be had: %s", it.Fault.Code)
		}
		for _, a := range it.Attachments {
			if attachments++; a.Note == "" && a.Content == nil && len(listed) < 20 {
				listed = append(listed, crm.Enclosure{Attachment: a, Header: it.Header})
			}
		}
	}
	_, faults := b.read(listed)
	for _, fault := range faults {
		if fault != nil {
			b.Logf("an attachment could not be had: %s", fault.Code)
		}
	}
	b.Logf("%d attachments, %d of them read", attachments, len(listed))
	b.compare(f, l, more, limit)
	if len(headers) > 0 { // one is enough: making it costs the server dearly
		b.readOriginal(headers[0].ID)
	}
}

func (b *bench) readOriginal(item string) {
	r, err := b.Source.Original(b.Context(), b.box, item)
	if err != nil {
		b.Errorf("an original: %s", crm.AsFault(err).Code)
		return
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n == 0 {
		b.Errorf("an original of %d bytes: %v", n, err)
	}
}

// compare looks whether the other road leads to the same items, where all were listed.
func (b *bench) compare(f crm.Folder, l *listing, more bool, limit int) {
	var ids []string
	err := b.Source.Items(b.Context(), b.box, f, func(part []string) error {
		if ids = append(ids, part...); len(ids) > 2*limit {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
	case err != nil:
		b.Errorf("Items: %v", err)
	case !more:
		b.follow(f, l) // what happened meanwhile
		b.sameIDs("Items", l.ids(), ids)
	}
}
