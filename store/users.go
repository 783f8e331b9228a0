package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"postern/crm"
	"postern/mail"
)

// A UserView is a user with what its row in a list shows.
type UserView struct {
	crm.User
	Activities  int
	Last        time.Time
	Mailbox     crm.MailboxID // 0 = none
	HasPassword bool
}

// SaveUsers saves a list of users, all or none. One with an id replaces that user; one
// without is added to the user who has one of the addresses, else it is new. An address
// of another active user is a *ConflictError. Mailboxes are made and switched off
// accordingly, and new addresses bring mail as those of contacts do.
func (o *Org) SaveUsers(ctx context.Context, list []crm.User) (Saved, error) {
	h, err := o.hasher(ctx)
	if err != nil {
		return Saved{}, err
	}
	var saved Saved
	err = o.guarded(ctx, "save users", change{crm.UsersProposal, list}, func(t *tx) error {
		saved = Saved{}
		if err := o.lock(ctx, t); err != nil {
			return err
		}
		var access changes
		policy, err := o.policy(ctx, t)
		if err != nil {
			return err
		}
		var fresh []mail.Address
		for i := range list {
			added, err := o.saveUser(ctx, t, h, list[i], i, &saved, &access)
			if err != nil {
				return fmt.Errorf("user %d of the list: %w", i+1, err)
			}
			for _, a := range added {
				if slices.Contains(policy.Domains, a.Domain()) {
					fresh = append(fresh, a)
				}
			}
		}
		if err := o.peopleChanged(ctx, t, &saved); err != nil {
			return err
		}
		if err := o.auditUsers(ctx, t, list, saved, access); err != nil {
			return err
		}
		if _, err := o.provision(ctx, t); err != nil {
			return err
		}
		if err := o.linkUsers(ctx, t, fresh); err != nil {
			return err
		}
		saved.Rematch, err = o.rematch(ctx, t, h, fresh, decidedByPeople...)
		return err
	})
	if err != nil {
		return Saved{}, err
	}
	return saved, nil
}

// saveUser saves one, notes what of it concerns access, and returns the addresses by which
// mail is the user's from now on.
func (o *Org) saveUser(ctx context.Context, t *tx, h hasher, u crm.User, index int, saved *Saved, access *changes) ([]mail.Address, error) {
	u.Name = clean(u.Name)
	u.Addresses = addAddresses(nil, u.Addresses)
	old, err := o.sameUser(ctx, t, u)
	if err != nil {
		return nil, err
	}
	if u.ID == 0 && old != nil {
		u.Addresses = addAddresses(u.Addresses, old.Addresses)
	}
	words := listWords(u.Addresses, u.Name)
	fresh := u.Addresses
	var lost []mail.Address
	switch {
	case old == nil:
		saved.New++
		err = one(ctx, t, "insert into account (org_id, name, admin, active, words) values ($1, $2, $3, $4, $5) returning id",
			[]any{o.id, u.Name, u.Admin, u.Active, words}, &u.ID)
	case old.Name == u.Name && old.Admin == u.Admin && old.Active == u.Active && slices.Equal(old.Addresses, u.Addresses):
		saved.Same++
		return nil, nil
	default:
		saved.Changed++
		u.ID = old.ID
		lost = without(old.Addresses, u.Addresses)
		if old.Active {
			fresh = without(u.Addresses, old.Addresses)
		}
		_, err = t.exec(ctx, "update account set name = $3, admin = $4, active = $5, words = $6 where org_id = $1 and id = $2",
			o.id, u.ID, u.Name, u.Admin, u.Active, words)
		if err == nil && old.Admin != u.Admin {
			_, err = t.exec(ctx, "delete from session where org_id = $1 and user_id = $2", o.id, u.ID) // other rights, another session
		}
	}
	if err != nil {
		return nil, err
	}
	if err := o.saveUserAddresses(ctx, t, h, u, index); err != nil {
		return nil, err
	}
	if err := o.unlink(ctx, t, "u", int64(u.ID), lost, u.Addresses); err != nil {
		return nil, err
	}
	access.noteUser(old, u)
	if !u.Active {
		return nil, nil
	}
	return fresh, nil
}

func (o *Org) saveUserAddresses(ctx context.Context, t *tx, h hasher, u crm.User, index int) error {
	if u.Active {
		err := in(ctx, t, "select address, user_id from user_address where org_id = $1 and active and user_id <> $2 and address in (%s)",
			[]any{o.id, u.ID}, u.Addresses, func(r *sql.Rows) error {
				e := &ConflictError{Index: index}
				if err := r.Scan(&e.Address, &e.Owner); err != nil {
					return err
				}
				return e
			})
		if err != nil {
			return err
		}
	}
	if _, err := t.exec(ctx, "delete from user_address where org_id = $1 and user_id = $2", o.id, u.ID); err != nil {
		return err
	}
	for i, a := range u.Addresses {
		_, err := t.exec(ctx, "insert into user_address (org_id, user_id, address, position, hash, active) values ($1, $2, $3, $4, $5, $6)",
			o.id, u.ID, a, i, h.address(a), u.Active)
		if err != nil {
			return err
		}
	}
	return nil
}

// linkUsers ties the users who have these addresses to what is filed already. Of many,
// most occur nowhere yet.
func (o *Org) linkUsers(ctx context.Context, t *tx, addresses []mail.Address) error {
	var filed []mail.Address
	err := in(ctx, t, "select distinct who from participant where org_id = $1 and who in (%s)", []any{o.id}, addresses, func(r *sql.Rows) error {
		var a mail.Address
		if err := r.Scan(&a); err != nil {
			return err
		}
		filed = append(filed, a)
		return nil
	})
	if err != nil {
		return err
	}
	owners := map[int64][]mail.Address{}
	err = in(ctx, t, "select user_id, address from user_address where org_id = $1 and active and address in (%s)", []any{o.id}, unique(filed),
		func(r *sql.Rows) error {
			var id int64
			var a mail.Address
			if err := r.Scan(&id, &a); err != nil {
				return err
			}
			owners[id] = addAddresses(owners[id], []mail.Address{a})
			return nil
		})
	if err != nil {
		return err
	}
	for id, list := range owners {
		if _, err := o.linkFiled(ctx, t, "u", id, list); err != nil {
			return err
		}
	}
	return nil
}

// sameUser finds the user that u is about; nil = none yet. An active one comes before
// one who has left and whose address was given away.
func (o *Org) sameUser(ctx context.Context, t *tx, u crm.User) (*crm.User, error) {
	if u.ID != 0 {
		return first(o.users(ctx, t, []int64{int64(u.ID)}))
	}
	for _, a := range u.Addresses {
		list, err := ids(ctx, t, "select user_id from user_address where org_id = $1 and address = $2 order by active desc, user_id", o.id, a)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			return first(o.users(ctx, t, list[:1]))
		}
	}
	return nil, nil
}

// users reads users with their addresses, in the order of the ids given.
func (o *Org) users(ctx context.Context, q querier, list []int64) ([]crm.User, error) {
	return peopleByIDs(ctx, o, q, "account", "user", "name, admin, active", list, func(u *crm.User) (*crm.UserID, []any, *[]mail.Address) {
		u.Org = o.id
		return &u.ID, []any{&u.Name, &u.Admin, &u.Active}, &u.Addresses
	})
}

// User returns one user, or ErrNotFound.
func (o *Org) User(ctx context.Context, id crm.UserID) (*UserView, error) {
	return first(o.userViews(ctx, []int64{int64(id)}))
}

// Users returns a part of the list of users and how many there are in all.
func (o *Org) Users(ctx context.Context, q ListQuery) ([]UserView, int, error) {
	list, total, err := o.listed(ctx, "account", q)
	if err != nil {
		return nil, 0, err
	}
	views, err := o.userViews(ctx, list)
	return views, total, err
}

func (o *Org) userViews(ctx context.Context, list []int64) ([]UserView, error) {
	users, err := o.users(ctx, o.read(), list)
	if err != nil {
		return nil, err
	}
	views := make([]UserView, len(users))
	at := map[int64]*UserView{}
	for i, u := range users {
		views[i].User = u
		at[int64(u.ID)] = &views[i]
	}
	err = in(ctx, o.read(), `select a.id, a.password <> '', coalesce(b.id, 0) from account a
		left join mailbox b on b.org_id = a.org_id and b.user_id = a.id where a.org_id = $1 and a.id in (%s)`, []any{o.id}, list,
		func(r *sql.Rows) error {
			var id int64
			var has bool
			var box crm.MailboxID
			if err := r.Scan(&id, &has, &box); err != nil {
				return err
			}
			if v := at[id]; v != nil {
				v.HasPassword, v.Mailbox = has, box
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	err = o.personStats(ctx, "u", list, func(id int64, n int, last time.Time) {
		if v := at[id]; v != nil {
			v.Activities, v.Last = n, last
		}
	})
	return views, err
}

// SetPassword keeps the hash of a user's password; "" takes the password away. All
// sessions of the user end. Where four eyes are asked for, nobody sets it for another
// administrator but the operator (four-eyes-password): who has it can approve in that name.
// Who set it is kept, for those who become administrators later; see Approve.
func (o *Org) SetPassword(ctx context.Context, user crm.UserID, hash string) error {
	return o.db.update(ctx, "set password", func(t *tx) error {
		if err := o.ownPassword(ctx, t, user); err != nil {
			return err
		}
		n, err := t.exec(ctx, `update account set password = $3, password_by = case when $4 = $5 then password_by else $4 end
			where org_id = $1 and id = $2`, o.id, user, hash, crm.Acting(ctx), crm.PrincipalOf(user))
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		if _, err = t.exec(ctx, "delete from session where org_id = $1 and user_id = $2", o.id, user); err != nil {
			return err
		}
		e := crm.AuditEntry{Action: "password.set"}
		if hash == "" {
			e.Detail = "taken away"
		}
		if e.Subject, err = o.userName(ctx, t, user); err != nil {
			return err
		}
		return o.audit(ctx, t, e)
	})
}

// SignIn returns the active user who has the address, and the hash of the password ("" =
// none, nobody may sign in with it). ErrNotFound when there is no such user.
func (o *Org) SignIn(ctx context.Context, address mail.Address) (*crm.User, string, error) {
	var id int64
	var hash string
	err := one(ctx, o.read(), `select a.id, a.password from user_address u join account a on a.id = u.user_id
		where u.org_id = $1 and u.address = $2 and u.active`, []any{o.id, address}, &id, &hash)
	if err != nil {
		return nil, "", err
	}
	user, err := first(o.users(ctx, o.read(), []int64{id}))
	return user, hash, err
}

// NewSession returns a token by which Session knows the user until ttl has passed. Only
// its hash is kept.
func (o *Org) NewSession(ctx context.Context, user crm.UserID, ttl time.Duration) (token string, err error) {
	token = rand.Text()
	now := o.s.now()
	return token, o.db.update(ctx, "new session", func(t *tx) error {
		if _, err := t.exec(ctx, "delete from session where org_id = $1 and expires_at <= $2", o.id, micros(now)); err != nil {
			return err
		}
		_, err := t.exec(ctx, "insert into session (org_id, token_hash, user_id, expires_at, used_at) values ($1, $2, $3, $4, $5)",
			o.id, tokenHash(token), user, micros(now.Add(ttl)), micros(now))
		return err
	})
}

// idleTime is how long the session of an administrator may lie idle. That it is used is
// noted once in usedAgain at most.
const (
	idleTime  = 30 * time.Minute
	usedAgain = time.Minute
)

// Session returns the active user of a session, or ErrNotFound: it has expired, was ended,
// or, of an administrator, lay idle for half an hour. A look that a page takes by itself
// (byItself) is no use of it.
func (o *Org) Session(ctx context.Context, token string, byItself bool) (*crm.User, error) {
	var id int64
	var used time.Time
	now := o.s.now()
	err := one(ctx, o.read(), `select a.id, s.used_at from session s join account a on a.id = s.user_id
		where s.org_id = $1 and s.token_hash = $2 and s.expires_at > $3 and a.active and (not a.admin or s.used_at > $4)`,
		[]any{o.id, tokenHash(token), micros(now), micros(now.Add(-idleTime))}, &id, stamp{&used})
	if err != nil {
		return nil, err
	}
	if !byItself && now.Sub(used) >= usedAgain {
		// On a full disk pages must still be shown; the session then ends early.
		_ = o.db.update(ctx, "use session", func(t *tx) error {
			_, err := t.exec(ctx, "update session set used_at = $3 where org_id = $1 and token_hash = $2", o.id, tokenHash(token), micros(now))
			return err
		})
	}
	return first(o.users(ctx, o.read(), []int64{id}))
}

// EndSession ends a session; an unknown one is no error.
func (o *Org) EndSession(ctx context.Context, token string) error {
	return o.db.update(ctx, "end session", func(t *tx) error {
		_, err := t.exec(ctx, "delete from session where org_id = $1 and token_hash = $2", o.id, tokenHash(token))
		return err
	})
}

// tokenHash needs no salt: a token is random.
func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
