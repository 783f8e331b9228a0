package web

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"postern/crm"
	"postern/store"
)

// A finding is one trouble and all mailboxes that have it: a broken connection is one
// line, not one for each mailbox.
type finding struct {
	State     crm.MailboxState
	Fault     *crm.Fault
	Since     time.Time
	Mailboxes []store.MailboxView
}

// findings groups the mailboxes in trouble by code, those that somebody must act on
// first, then by how many are affected.
func findings(boxes []store.MailboxView) []finding {
	type key struct {
		state crm.MailboxState
		code  string
	}
	at := map[key]int{}
	var list []finding
	for _, box := range boxes {
		if box.Trouble == nil || (box.State != crm.Attention && box.State != crm.Waiting) {
			continue
		}
		k := key{box.State, box.Trouble.Code}
		i, ok := at[k]
		if !ok {
			i = len(list)
			at[k] = i
			list = append(list, finding{State: box.State, Fault: box.Trouble, Since: box.Since})
		}
		f := &list[i]
		f.Mailboxes = append(f.Mailboxes, box)
		if box.Since.Before(f.Since) {
			f.Since = box.Since
		}
	}
	slices.SortStableFunc(list, func(a, b finding) int {
		if a.State != b.State {
			return cmp.Compare(a.State, b.State) // "attention" before "waiting"
		}
		return cmp.Compare(len(b.Mailboxes), len(a.Mailboxes))
	})
	return list
}

type homeData struct {
	*store.HomeStats
	Findings []finding
	Disabled bool // collecting is off
	Fresh    bool // no settings were ever saved
	Plot     plot
	States   []stateCount
	Last     []row
	Reasons  []reasonCount // why mail was not filed, the commonest
	Imports  []boxRow
}

type stateCount struct {
	State crm.MailboxState
	Count int
}

// stateOrder is the order in which states are listed: what needs somebody first.
var stateOrder = []crm.MailboxState{crm.Attention, crm.Waiting, crm.Importing, crm.Live, crm.Provisioned, crm.Off}

// commonest keeps the reasons that a glance should show.
func commonest(list []reasonCount) []reasonCount { return list[:min(len(list), 5)] }

func (s *server) home(w http.ResponseWriter, r *http.Request) error {
	viewer, ctx := viewerOf(r), r.Context()
	if !viewer.Admin {
		http.Redirect(w, r, "/mails", http.StatusSeeOther)
		return nil
	}
	stats, err := s.stats(ctx, 0)
	if err != nil {
		return err
	}
	settings, connection, err := s.Org.Settings(ctx)
	if err != nil {
		return err
	}
	boxes, _, err := s.Org.Mailboxes(ctx, store.ListQuery{Limit: everyMailbox})
	if err != nil {
		return err
	}
	counts, err := s.Org.Counts(ctx)
	if err != nil {
		return err
	}
	last, _, _, err := s.Org.Activities(ctx, store.MailQuery{Viewer: viewer.ID, Limit: 6})
	if err != nil {
		return err
	}
	d := homeData{
		HomeStats: stats.HomeStats, Findings: findings(boxes), Plot: dayPlot(stats.ByDay),
		Disabled: !settings.Enabled, Fresh: connection == 0 || settings.Server == "",
		Last: rowsOf(last, messageURL, 0), Reasons: commonest(reasonsOf(counts)),
	}
	for _, state := range stateOrder {
		if n := stats.Mailboxes[state]; n > 0 {
			d.States = append(d.States, stateCount{state, n})
		}
	}
	for _, b := range s.boxRows(boxes) {
		if b.Running && b.State == crm.Importing {
			d.Imports = append(d.Imports, b)
		}
	}
	return s.show(w, r, http.StatusOK, "home", page{Title: "Home", Place: "home", Data: d})
}
