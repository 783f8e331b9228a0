package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"postern/crm"
	"postern/store"
)

// A finding is one trouble and all mailboxes that have it: a broken connection is one
// line, not one for each mailbox.
type finding struct {
	State crm.MailboxState
	alertLine
}

// Told tells whether the headline says all of the fault's message.
func (f finding) Told() bool { return f.Fault.Cause == crm.NoCause }

// findings groups the mailboxes in trouble by code, those that somebody must act on
// first, then by how many are affected. An alert that no mailbox' own trouble tells comes
// before all.
func findings(alerts []alertLine, boxes []crm.Mailbox) []finding {
	type key struct {
		state crm.MailboxState
		code  string
	}
	at, told := map[key]int{}, map[string]bool{}
	var list []finding
	for _, box := range boxes {
		if box.Trouble == nil || (box.State != crm.Attention && box.State != crm.Waiting) {
			continue
		}
		k := key{box.State, box.Trouble.Code}
		i, ok := at[k]
		if !ok {
			i = len(list)
			at[k], told[k.code] = i, true
			list = append(list, finding{box.State, alertLine{Fault: box.Trouble, Since: box.Since}})
		}
		f := &list[i]
		f.Addresses = append(f.Addresses, box.Address)
		if box.Since.Before(f.Since) {
			f.Since = box.Since
		}
	}
	slices.SortStableFunc(list, func(a, b finding) int {
		// "attention" comes before "waiting"
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(len(b.Addresses), len(a.Addresses)))
	})
	var first []finding
	for _, a := range alerts {
		if !told[a.Fault.Code] {
			first = append(first, finding{crm.Attention, a})
		}
	}
	return append(first, list...)
}

type homeData struct {
	*store.HomeStats
	Findings   []finding
	Quarantine int  // items that could not be read, or not whole
	Disabled   bool // collecting is off
	Fresh      bool // no settings were ever saved
	Plot       plot
	States     []stateCount
	Last       []row
	Reasons    []reasonCount // why mail was not filed, the commonest
	Imports    []boxRow
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
	boxes, err := s.Org.Boxes(ctx)
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
		HomeStats: stats.HomeStats, Findings: findings(stats.Alerts, boxes), Quarantine: stats.Quarantine, Plot: dayPlot(stats.ByDay),
		Disabled: !settings.Enabled, Fresh: connection == 0 || settings.Server == "",
		Last: rowsOf(last, messageURL, 0), Reasons: commonest(reasonsOf(counts)),
	}
	for _, state := range stateOrder {
		if n := stats.Mailboxes[state]; n > 0 {
			d.States = append(d.States, stateCount{state, n})
		}
	}
	if d.Imports, err = s.imports(ctx, boxes); err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "home", page{Title: "Home", Place: "home", Data: d})
}

// importsShown is how many first imports the first page shows.
const importsShown = 8

// imports returns the first imports that are under way.
func (s *server) imports(ctx context.Context, boxes []crm.Mailbox) ([]boxRow, error) {
	var rows []boxRow
	for _, box := range boxes {
		if _, running := s.Progress(box.ID); !running || box.State != crm.Importing || len(rows) == importsShown {
			continue
		}
		view, err := s.Org.Mailbox(ctx, box.ID)
		if err != nil {
			return nil, err
		}
		rows = append(rows, s.boxRow(*view))
	}
	return rows, nil
}
