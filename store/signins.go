package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"postern/crm"
	"postern/mail"
)

// A SignIn is what a user is shown of the own credentials.
type SignIn struct {
	Login string
	Saved time.Time
}

// SaveSignIn keeps the credentials by which a user's own mailbox is opened, and no other:
// which mailbox that is says the list of users. The mailbox is tried again at once. It is
// refused, as "sign-in-not-asked", where mailboxes are opened by service accounts, and as
// "sign-in-without-mailbox" for a user whose mailbox is not read.
func (o *Org) SaveSignIn(ctx context.Context, user crm.UserID, a crm.Account) error {
	return o.db.update(ctx, "save sign-in", func(t *tx) error {
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		settings, _, err := o.settings(ctx, t)
		if err != nil {
			return err
		}
		if settings.Model != crm.ByOwnSignIn {
			return &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "sign-in-not-asked",
				Message: "Mailboxes are opened by a service account here, so nobody signs in to the own one.", Advice: "Nothing to do. Whoever administers the connection can change that in the Email settings."}
		}
		address, err := o.mailboxOf(ctx, t, user)
		if errors.Is(err, ErrNotFound) {
			return &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "sign-in-without-mailbox",
				Message: "No mailbox of yours is read here.", Advice: "Ask whoever administers the connection to add your address to the mailboxes that are read."}
		}
		if err != nil {
			return err
		}
		sealed, err := o.sealSecret(ctx, t, o.signInPlace(user), a.Password)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `insert into sign_in (org_id, user_id, login, password, saved_at) values ($1, $2, $3, $4, $5)
			on conflict (org_id, user_id) do update set login = excluded.login, password = excluded.password, saved_at = excluded.saved_at`,
			o.id, user, a.Login, sealed, micros(o.s.now()))
		if err != nil {
			return err
		}
		if err := o.forgiveMailbox(ctx, t, user); err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "mailbox.sign-in", Subject: string(address), Detail: "login: " + a.Login, Widens: true})
	})
}

// ForgetSignIn destroys a user's credentials; there may be none.
func (o *Org) ForgetSignIn(ctx context.Context, user crm.UserID) error {
	return o.db.update(ctx, "forget sign-in", func(t *tx) error {
		n, err := t.exec(ctx, "delete from sign_in where org_id = $1 and user_id = $2", o.id, user)
		if err != nil || n == 0 {
			return err
		}
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		if err := o.forgiveMailbox(ctx, t, user); err != nil {
			return err
		}
		address, err := o.mailboxOf(ctx, t, user)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "mailbox.sign-out", Subject: string(address)})
	})
}

// SignInOf returns what a user may see of the own credentials; ErrNotFound when there are none.
func (o *Org) SignInOf(ctx context.Context, user crm.UserID) (SignIn, error) {
	var s SignIn
	err := one(ctx, o.read(), "select login, saved_at from sign_in where org_id = $1 and user_id = $2", []any{o.id, user}, &s.Login, stamp{&s.Saved})
	return s, err
}

// SignIns returns the users' own credentials by the mailbox that each opens.
func (o *Org) SignIns(ctx context.Context) (map[mail.Address]crm.Account, error) {
	type sealed struct {
		user     crm.UserID
		address  mail.Address
		login    string
		password []byte
	}
	var kept []sealed
	err := rows(ctx, o.read(), `select s.user_id, m.address, s.login, s.password
		from sign_in s join mailbox m on m.org_id = s.org_id and m.user_id = s.user_id
		where s.org_id = $1 and m.state <> 'off'`, []any{o.id}, func(r *sql.Rows) error {
		var v sealed
		if err := r.Scan(&v.user, &v.address, &v.login, &v.password); err != nil {
			return err
		}
		kept = append(kept, v)
		return nil
	})
	if err != nil || len(kept) == 0 {
		return nil, err
	}
	all := make(map[mail.Address]crm.Account, len(kept))
	for _, v := range kept {
		password, err := o.openSecret(ctx, o.read(), o.signInPlace(v.user), v.password)
		if err != nil {
			return nil, err
		}
		all[v.address] = crm.Account{Login: v.login, Password: password}
	}
	return all, nil
}

func (o *Org) signInPlace(user crm.UserID) place {
	return place{o.id, "sign_in", int64(user), "password"}
}

// mailboxOf returns the address of the mailbox of a user that is read.
func (o *Org) mailboxOf(ctx context.Context, q querier, user crm.UserID) (address mail.Address, err error) {
	err = one(ctx, q, "select address from mailbox where org_id = $1 and user_id = $2 and state <> 'off'", []any{o.id, user}, &address)
	return address, err
}

// forgiveMailbox forgets the trouble of a user's mailbox and makes it due.
func (o *Org) forgiveMailbox(ctx context.Context, t *tx, user crm.UserID) error {
	return o.forgive(ctx, t, " and user_id = $3", user)
}
