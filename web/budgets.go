package web

import (
	"cmp"
	"slices"
	"time"

	"postern/crm"
)

// A budgetRow is how much one scope of Exchange bears, in words.
type budgetRow struct {
	crm.Budget
	Silent bool // it is left alone until Until
}

// Who says what the budget is for.
func (b budgetRow) Who() string {
	switch b.Scope {
	case crm.HostBudget:
		return "server"
	case crm.AccountBudget:
		return "account"
	}
	return string(b.Scope)
}

// budgetsShown is how many budgets the page shows: a few servers and accounts, and the
// mailboxes that Exchange holds back.
const budgetsShown = 50

// budgetRows puts first what is silent now, the longest silence first.
func budgetRows(list []crm.Budget, now time.Time) []budgetRow {
	var rows []budgetRow
	for _, b := range list {
		row := budgetRow{b, b.Until.After(now)}
		if b.Scope != crm.MailboxBudget || row.Silent || b.Code != "" {
			rows = append(rows, row)
		}
	}
	silence := func(b budgetRow) int64 {
		if !b.Silent {
			return 0
		}
		return b.Until.Unix()
	}
	slices.SortFunc(rows, func(a, b budgetRow) int {
		return cmp.Or(cmp.Compare(silence(b), silence(a)), cmp.Compare(b.Strikes, a.Strikes), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Key, b.Key))
	})
	return rows[:min(len(rows), budgetsShown)]
}
