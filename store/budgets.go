package store

import (
	"context"
	"database/sql"

	"postern/crm"
)

// Budgets returns what is known of how much the servers bear. Budgets belong to the whole
// installation: a server bears what it bears, whichever organization asks.
func (s *Store) Budgets(ctx context.Context) ([]crm.Budget, error) {
	var list []crm.Budget
	err := rows(ctx, view{s.db}, "select scope, key, width, silent_until, changed_at, code, strikes from budget order by scope, key", nil, func(r *sql.Rows) error {
		var b crm.Budget
		if err := r.Scan(&b.Scope, &b.Key, &b.Limit, stamp{&b.Until}, stamp{&b.Changed}, &b.Code, &b.Strikes); err != nil {
			return err
		}
		list = append(list, b)
		return nil
	})
	return list, err
}

// SaveBudget keeps a budget. One that is neither silent nor narrowed, after no refusal,
// says nothing and is forgotten.
func (s *Store) SaveBudget(ctx context.Context, b crm.Budget) error {
	return s.db.update(ctx, "save budget", func(t *tx) error {
		if b.Code == "" && b.Until.IsZero() && b.Strikes == 0 {
			_, err := t.exec(ctx, "delete from budget where scope = $1 and key = $2", b.Scope, clean(b.Key))
			return err
		}
		_, err := t.exec(ctx, `insert into budget (scope, key, width, silent_until, changed_at, code, strikes) values ($1, $2, $3, $4, $5, $6, $7)
			on conflict (scope, key) do update set width = excluded.width, silent_until = excluded.silent_until, changed_at = excluded.changed_at,
				code = excluded.code, strikes = excluded.strikes`,
			b.Scope, clean(b.Key), b.Limit, micros(b.Until), micros(b.Changed), clean(b.Code), b.Strikes)
		return err
	})
}
