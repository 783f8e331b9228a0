package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"time"

	"postern/crm"
)

// A Share is a link under which somebody without a sign-in sees what an Exchange
// administrator is to do. Only a hash of what the link holds is kept.
type Share struct {
	ID      int64
	Version string // of Exchange that the scripts are for
	App     string // id of the application, for Exchange Online
	Made    time.Time
	By      string
	Expires time.Time
}

// MaxShareDays is how long a link may hold.
const MaxShareDays = 90

// NewShare makes a link for a time, and returns the token in it, which is not told again.
func (o *Org) NewShare(ctx context.Context, version, app string, life time.Duration) (token string, s Share, err error) {
	token = rand.Text()
	now := o.s.now()
	s = Share{Version: version, App: app, Made: now, By: crm.ActorOf(ctx), Expires: now.Add(life)}
	err = o.db.update(ctx, "new share", func(t *tx) error {
		if err := o.changed(ctx, t); err != nil { // and so one at a time
			return err
		}
		if err := one(ctx, t, "select coalesce(max(id), 0) + 1 from share where org_id = $1", []any{o.id}, &s.ID); err != nil {
			return err
		}
		_, err := t.exec(ctx, "insert into share (org_id, id, token_hash, version, app, made_at, made_by, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
			o.id, s.ID, tokenHash(token), clean(version), clean(app), micros(s.Made), clean(s.By), micros(s.Expires))
		if err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "share.make", Subject: fmt.Sprintf("link %d", s.ID), Widens: true,
			Detail: "for the Exchange admin, until " + s.Expires.UTC().Format(time.RFC3339)})
	})
	return token, s, err
}

// Share returns the link that holds a token, or ErrNotFound: there is none, it has expired,
// or it was revoked.
func (o *Org) Share(ctx context.Context, token string) (Share, error) {
	s, err := first(o.shares(ctx, "token_hash = $3", tokenHash(token)))
	if err != nil {
		return Share{}, err
	}
	return *s, nil
}

// Shares lists the links that hold, the latest first.
func (o *Org) Shares(ctx context.Context) ([]Share, error) { return o.shares(ctx, "id > $3", 0) }

func (o *Org) shares(ctx context.Context, where string, arg any) ([]Share, error) {
	var list []Share
	err := rows(ctx, o.read(), "select id, version, app, made_at, made_by, expires_at from share where org_id = $1 and expires_at > $2 and "+where+" order by id desc",
		[]any{o.id, micros(o.s.now()), arg}, func(r *sql.Rows) error {
			var s Share
			if err := r.Scan(&s.ID, &s.Version, &s.App, stamp{&s.Made}, &s.By, stamp{&s.Expires}); err != nil {
				return err
			}
			list = append(list, s)
			return nil
		})
	return list, err
}

// RevokeShare ends a link at once; ErrNotFound when it does not hold any more.
func (o *Org) RevokeShare(ctx context.Context, id int64) error {
	now := micros(o.s.now())
	return o.db.update(ctx, "revoke share", func(t *tx) error {
		n, err := t.exec(ctx, "update share set expires_at = $3 where org_id = $1 and id = $2 and expires_at > $3", o.id, id, now)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "share.revoke", Subject: fmt.Sprintf("link %d", id)})
	})
}
