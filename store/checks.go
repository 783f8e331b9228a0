package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"postern/crm"
	"postern/mail"
)

// A Check is one run of the connection test on the settings that hold.
type Check struct {
	ID        int64 // kept by the store: 1, 2, 3 …
	Began     time.Time
	Took      time.Duration
	By        string // who ran it; kept by the store
	Server    string
	UserAgent string
	Outside   mail.Address // mailbox that Exchange had to refuse; "" = none was named
	Stranger  bool         // another User-Agent had to be refused
	Findings  []crm.Finding
}

// Red counts the findings that are wrong.
func (c *Check) Red() int {
	n := 0
	for i := range c.Findings {
		if f := &c.Findings[i]; !f.OK && !f.Skip {
			n++
		}
	}
	return n
}

// Warnings counts the findings that are to be seen to, although they are no fault.
func (c *Check) Warnings() int {
	n := 0
	for i := range c.Findings {
		if c.Findings[i].Warn {
			n++
		}
	}
	return n
}

// Finding returns the first finding of a step, nil if there is none.
func (c *Check) Finding(code string) *crm.Finding {
	for i := range c.Findings {
		if c.Findings[i].Code == code {
			return &c.Findings[i]
		}
	}
	return nil
}

// keptChecks is how many runs are kept.
const keptChecks = 50

// SaveCheck keeps a run and returns it with its number.
func (o *Org) SaveCheck(ctx context.Context, c Check) (*Check, error) {
	c.By, c.Server, c.UserAgent = clean(crm.ActorOf(ctx)), clean(c.Server), clean(c.UserAgent)
	for i := range c.Findings {
		if f := c.Findings[i].Fault; f != nil {
			kept := *f
			kept.Err = nil // for the log; what it says may hold anything
			c.Findings[i].Fault = &kept
		}
	}
	text, err := json.Marshal(c.Findings)
	if err != nil {
		return nil, err
	}
	err = o.db.update(ctx, "save a check", func(t *tx) error {
		if err := one(ctx, t, "select coalesce(max(id), 0) + 1 from check_run where org_id = $1", []any{o.id}, &c.ID); err != nil {
			return err
		}
		_, err := t.exec(ctx, `insert into check_run (org_id, id, began_at, took, run_by, server, agent, outside, stranger, findings)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			o.id, c.ID, micros(c.Began), c.Took.Microseconds(), c.By, c.Server, c.UserAgent, c.Outside, c.Stranger, clean(string(text)))
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, "delete from check_run where org_id = $1 and id <= $2", o.id, c.ID-keptChecks); err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "check.run", Subject: c.Server, Detail: c.summary()})
	})
	if err != nil {
		return nil, err
	}
	return &c, nil
}

func (c *Check) summary() string {
	text := fmt.Sprintf("%d findings, %d red, %d to be seen to", len(c.Findings), c.Red(), c.Warnings())
	if c.Outside != "" {
		text += fmt.Sprintf("\nhad to be refused: %s", c.Outside)
	}
	if c.Stranger {
		text += "\nhad to be refused: another User-Agent"
	}
	return text
}

// Checks returns the latest runs, the latest first.
func (o *Org) Checks(ctx context.Context, limit int) ([]Check, error) {
	var list []Check
	err := rows(ctx, o.read(), `select id, began_at, took, run_by, server, agent, outside, stranger, findings from check_run
		where org_id = $1 order by id desc limit $2`, []any{o.id, limit}, func(r *sql.Rows) error {
		var c Check
		var took int64
		var text string
		if err := r.Scan(&c.ID, stamp{&c.Began}, &took, &c.By, &c.Server, &c.UserAgent, &c.Outside, &c.Stranger, &text); err != nil {
			return err
		}
		c.Took = time.Duration(took) * time.Microsecond
		if err := json.Unmarshal([]byte(text), &c.Findings); err != nil {
			return fmt.Errorf("findings of check %d: %w", c.ID, err)
		}
		list = append(list, c)
		return nil
	})
	return list, err
}

// LastCheck returns the latest run, ErrNotFound when there was none.
func (o *Org) LastCheck(ctx context.Context) (*Check, error) {
	return first(o.Checks(ctx, 1))
}
