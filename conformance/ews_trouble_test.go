package conformance_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/crm"
	"postern/sim"
)

// brief is a letter of the customer's.
func brief(n int) []byte {
	return []byte(fmt.Sprintf("From: clara@customer.example\r\nTo: ursula@company.example\r\nMessage-ID: <%d@customer.example>\r\nSubject: Letter %d\r\n\r\nText.\r\n", n, n))
}

// What a stream in trouble tells of two mailboxes, and how it ends.
func TestEWSStreamTrouble(t *testing.T) {
	for _, tt := range []struct {
		kind sim.Kind
		want string // mailboxes that are told of, or lost
		code string
	}{
		{sim.StreamTorn, "", "torn-answer"},
		{sim.StreamReset, "", "torn-answer"},
		{sim.StreamLostSubscription, "1 lost", "ErrorSubscriptionNotFound"},
		{sim.StreamLostNameless, "1 lost, 2 lost", "ErrorSubscriptionNotFound"},
		{sim.MissedEvents, "2 lost", "ErrorMissedNotificationEvents"},
		{sim.StreamNamespace, "2 told", "cancelled"},
		{sim.StreamDuplicate, "2 told", "cancelled"},
		{sim.StreamReordered, "2 told", "cancelled"},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			f := overEWS(t, sim.Options{Version: sim.ExchangeSE}, crm.Settings{Version: "ExchangeSE"})
			n, x := f.Source.(crm.Notifier), f.System.(*exchange).x
			var subs []crm.Subscription
			for _, box := range f.Boxes {
				sub, err := n.Subscribe(t.Context(), box, f.Boxes[0])
				if err != nil {
					t.Fatal(err)
				}
				subs = append(subs, sub)
			}
			x.MakeTrouble(sim.Trouble{Kind: tt.kind})
			if _, err := x.Mailbox(f.Boxes[1].Address).Folder(sim.Inbox).Put(brief(1)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var got []string
			err := n.Listen(ctx, subs, func(n crm.Notice) {
				switch {
				case n.Lost != nil:
					got = append(got, fmt.Sprintf("%d lost", n.Box))
				case n.Box != 0:
					got = append(got, fmt.Sprintf("%d told", n.Box))
					cancel()
				}
			})
			got = slices.Compact(got)
			if list := strings.Join(got, ", "); list != tt.want || crm.AsFault(err).Code != tt.code {
				t.Errorf("told %q, then %v; want %q, then %s", list, err, tt.want, tt.code)
			}
		})
	}
}

// Watermarks that do not come leave the last one in force.
func TestEWSPullWithoutWatermarks(t *testing.T) {
	f := overEWS(t, sim.Options{Version: sim.Exchange2007SP1}, crm.Settings{Version: "Exchange2007_SP1"})
	n, x, box := f.Source.(crm.Notifier), f.System.(*exchange).x, f.Boxes[0]
	sub, err := n.Subscribe(t.Context(), box, box)
	if err != nil || sub.Streaming || sub.Watermark == "" {
		t.Fatalf("%+v, %v", sub, err)
	}
	x.MakeTrouble(sim.Trouble{Kind: sim.EventsNoWatermark, Times: 2})
	before := sub.Watermark
	for i := range 3 {
		inbox := x.Mailbox(box.Address).Folder(sim.Inbox)
		if _, err := inbox.Put(brief(i)); err != nil {
			t.Fatal(err)
		}
		notice, err := n.Pull(t.Context(), &sub)
		if err != nil || !slices.Contains(notice.Folders, inbox.ID()) {
			t.Errorf("pull %d: %+v, %v", i, notice, err)
		}
		if moved := sub.Watermark != before; moved != (i == 2) {
			t.Errorf("pull %d: watermark moved: %v", i, moved)
		}
	}
}

// follow lists what happened in a folder since a cursor, in at most so many pages.
func follow(t *testing.T, src crm.Source, box *crm.Mailbox, f crm.Folder, since crm.Cursor, pages int) (ids, gone []string, read map[string]bool, next crm.Cursor) {
	t.Helper()
	read = map[string]bool{}
	for range pages {
		page, err := src.Changes(t.Context(), box, f, since)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range page.Headers {
			ids = append(ids, h.ID)
			read[h.ID] = h.Read
		}
		for id, is := range page.Read {
			read[id] = is
		}
		gone = append(gone, page.Gone...)
		if since = page.Next; !page.More {
			return ids, gone, read, since
		}
	}
	t.Fatalf("more changes after %d pages", pages)
	return nil, nil, nil, ""
}

// What a server does wrong while a folder is listed must not lose anything of it.
func TestEWSListingTrouble(t *testing.T) {
	const all = 700
	open := func(t *testing.T) (*sim.Exchange, crm.Source, *crm.Mailbox, crm.Folder, []*sim.Item) {
		f := overEWS(t, sim.Options{Version: sim.ExchangeSE}, crm.Settings{Version: "ExchangeSE"})
		x, box := f.System.(*exchange).x, f.Boxes[0]
		inbox := x.Mailbox(box.Address).Folder(sim.Inbox)
		var items []*sim.Item
		for i := range all {
			it, err := inbox.Put(brief(i))
			if err != nil {
				t.Fatal(err)
			}
			items = append(items, it)
		}
		return x, f.Source, box, crm.Folder{ID: inbox.ID(), Kind: crm.Email}, items
	}
	t.Run("deletions cut", func(t *testing.T) {
		x, src, box, f, items := open(t)
		_, _, _, next := follow(t, src, box, f, "", 5)
		for _, it := range items {
			it.Delete()
		}
		x.MakeTrouble(sim.Trouble{Kind: sim.DeletesCut})
		if _, gone, _, _ := follow(t, src, box, f, next, 5); len(gone) != all {
			t.Errorf("%d of %d deletions were told", len(gone), all)
		}
	})
	t.Run("read flags as updates", func(t *testing.T) {
		x, src, box, f, items := open(t)
		_, _, _, next := follow(t, src, box, f, "", 5)
		x.MakeTrouble(sim.Trouble{Kind: sim.ReadAsUpdate})
		items[3].MarkRead(true)
		if _, gone, read, _ := follow(t, src, box, f, next, 5); len(gone) != 0 || len(read) != 1 || !read[items[3].ID()] {
			t.Errorf("read %v, gone %v", read, gone)
		}
	})
	t.Run("answered from the start", func(t *testing.T) {
		x, src, box, f, items := open(t)
		before, _, _, next := follow(t, src, box, f, "", 5)
		gone := items[5].ID()
		items[5].Delete()
		x.MakeTrouble(sim.Trouble{Kind: sim.StateRestart, Times: 1})
		again, told, _, _ := follow(t, src, box, f, next, 5)
		if len(told) != 0 || len(again) != all-1 || slices.Contains(again, gone) || !slices.Contains(before, gone) {
			t.Errorf("%d items come anew, %d are said to be gone", len(again), len(told))
		}
		// That the deletion is never told shows in the listing by the other road.
		var there []string
		if err := src.Items(t.Context(), box, f, func(ids []string) error { there = append(there, ids...); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(there) != all-1 || slices.Contains(there, gone) {
			t.Errorf("%d items are there", len(there))
		}
	})
	t.Run("an error with an empty state", func(t *testing.T) {
		x, src, box, f, _ := open(t)
		x.MakeTrouble(sim.Trouble{Kind: sim.SyncErrorEmptyState, Skip: 1, Times: 1})
		page, err := src.Changes(t.Context(), box, f, "")
		if err != nil {
			t.Fatal(err)
		}
		if broken, err := src.Changes(t.Context(), box, f, page.Next); err == nil {
			t.Errorf("an error was taken for a page: %+v", broken)
		}
		if rest, _, _, _ := follow(t, src, box, f, page.Next, 5); len(page.Headers)+len(rest) != all {
			t.Errorf("%d and %d of %d items", len(page.Headers), len(rest), all)
		}
	})
	t.Run("one answer is missing", func(t *testing.T) {
		x, src, box, f, _ := open(t)
		x.MakeTrouble(sim.Trouble{Kind: sim.Miscount, Operation: "GetItem", Times: 3})
		if ids, _, _, _ := follow(t, src, box, f, "", 5); len(ids) != all {
			t.Errorf("%d of %d items", len(ids), all)
		}
	})
}

// MIME that is made anew at each reading gives the same message.
func TestEWSMIMEDiffers(t *testing.T) {
	f := overEWS(t, sim.Options{Version: sim.ExchangeSE}, crm.Settings{Version: "ExchangeSE"})
	x, box := f.System.(*exchange).x, f.Boxes[0]
	it, err := x.Mailbox(box.Address).Folder(sim.Inbox).Put([]byte("From: clara@customer.example\r\nTo: ursula@company.example\r\nSubject: Sealed\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSigned text.\r\n--b\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	x.MakeTrouble(sim.Trouble{Kind: sim.MimeDiffers})
	var texts, keys []string
	for range 2 {
		headers, err := f.Source.Headers(t.Context(), box, []string{it.ID()})
		if err != nil || len(headers) != 1 {
			t.Fatalf("%v, %v", headers, err)
		}
		headers[0].Class = "IPM.Note.SMIME.MultipartSigned" // as a server classes it, so that MIME is read
		if err := f.Source.Load(t.Context(), box, headers, func(i *crm.Item) error {
			texts = append(texts, strings.TrimSpace(i.Text))
			keys = append(keys, i.Key())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(texts) != 2 || texts[0] != "Signed text." || texts[0] != texts[1] || keys[0] != keys[1] {
		t.Errorf("read %q with keys %q", texts, keys)
	}
}
