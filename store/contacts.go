package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// A ContactView is a contact with what its row in a list shows.
type ContactView struct {
	crm.Contact
	Activities int
	Last       time.Time // of the newest activity; zero = none
}

// SaveContacts saves a list of contacts, all or none. One with an id replaces that
// contact; one without is added to the contact that shares name and an address, whose
// company and title stay where it has none; else it is new. New addresses bring mail: what
// was not filed becomes due for another look, and what was filed already with such an
// address is linked.
func (o *Org) SaveContacts(ctx context.Context, list []crm.Contact) (Saved, error) {
	h, err := o.hasher(ctx)
	if err != nil {
		return Saved{}, err
	}
	var saved Saved
	err = o.db.update(ctx, "save contacts", func(t *tx) error {
		saved = Saved{}
		if err := o.lock(ctx, t); err != nil {
			return err
		}
		var fresh []mail.Address
		for i := range list {
			added, err := o.saveContact(ctx, t, h, list[i], &saved)
			if err != nil {
				return fmt.Errorf("contact %d of the list: %w", i+1, err)
			}
			fresh = append(fresh, added...)
		}
		if err := o.peopleChanged(ctx, t, &saved); err != nil {
			return err
		}
		if err := o.auditContacts(ctx, t, list, saved); err != nil {
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

// saveContact saves one and returns its new addresses.
func (o *Org) saveContact(ctx context.Context, t *tx, h hasher, c crm.Contact, saved *Saved) ([]mail.Address, error) {
	c.Name, c.Company, c.Title = clean(c.Name), clean(c.Company), clean(c.Title)
	c.Addresses = addAddresses(nil, c.Addresses)
	old, err := o.sameContact(ctx, t, c)
	if err != nil {
		return nil, err
	}
	if c.ID == 0 && old != nil {
		c.Company, c.Title = cmp.Or(c.Company, old.Company), cmp.Or(c.Title, old.Title)
		c.Addresses = addAddresses(slices.Clone(old.Addresses), c.Addresses)
	}
	words := listWords(c.Addresses, c.Name, c.Company, c.Title)
	var lost []mail.Address
	fresh := c.Addresses
	switch {
	case old == nil:
		saved.New++
		err = one(ctx, t, "insert into contact (org_id, name, company, title, words) values ($1, $2, $3, $4, $5) returning id",
			[]any{o.id, c.Name, c.Company, c.Title, words}, &c.ID)
	case old.Name == c.Name && old.Company == c.Company && old.Title == c.Title && slices.Equal(old.Addresses, c.Addresses):
		saved.Same++
		return nil, nil
	default:
		saved.Changed++
		c.ID = old.ID
		lost, fresh = without(old.Addresses, c.Addresses), without(c.Addresses, old.Addresses)
		_, err = t.exec(ctx, "update contact set name = $3, company = $4, title = $5, words = $6 where org_id = $1 and id = $2",
			o.id, c.ID, c.Name, c.Company, c.Title, words)
	}
	if err != nil {
		return nil, err
	}
	if old != nil {
		if _, err := t.exec(ctx, "delete from contact_address where org_id = $1 and contact_id = $2", o.id, c.ID); err != nil {
			return nil, err
		}
	}
	for i, a := range c.Addresses {
		_, err := t.exec(ctx, "insert into contact_address (org_id, address, contact_id, position, hash) values ($1, $2, $3, $4, $5)",
			o.id, a, c.ID, i, h.address(a))
		if err != nil {
			return nil, err
		}
	}
	if err := o.unlink(ctx, t, "c", int64(c.ID), lost, c.Addresses); err != nil {
		return nil, err
	}
	n, err := o.linkFiled(ctx, t, "c", int64(c.ID), fresh)
	saved.Linked += n
	return fresh, err
}

// sameContact finds the contact that c is about; nil = none yet.
func (o *Org) sameContact(ctx context.Context, t *tx, c crm.Contact) (*crm.Contact, error) {
	if c.ID != 0 {
		return first(o.contacts(ctx, t, []int64{int64(c.ID)}))
	}
	var found []int64
	err := in(ctx, t, `select c.id, c.name from contact_address a join contact c on c.id = a.contact_id
		where a.org_id = $1 and a.address in (%s) order by c.id`, []any{o.id}, c.Addresses, func(r *sql.Rows) error {
		var id int64
		var name string
		if err := r.Scan(&id, &name); err != nil {
			return err
		}
		if strings.EqualFold(name, c.Name) {
			found = append(found, id)
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return first(o.contacts(ctx, t, []int64{slices.Min(found)}))
}

// contacts reads contacts with their addresses, in the order of the ids given.
func (o *Org) contacts(ctx context.Context, q querier, list []int64) ([]crm.Contact, error) {
	return peopleByIDs(ctx, o, q, "contact", "contact", "name, company, title", list, func(c *crm.Contact) (*crm.ContactID, []any, *[]mail.Address) {
		c.Org = o.id
		return &c.ID, []any{&c.Name, &c.Company, &c.Title}, &c.Addresses
	})
}

// Contact returns one contact, or ErrNotFound.
func (o *Org) Contact(ctx context.Context, id crm.ContactID) (*ContactView, error) {
	return first(o.contactViews(ctx, []int64{int64(id)}))
}

// Contacts returns a part of the list of contacts and how many there are in all.
func (o *Org) Contacts(ctx context.Context, q ListQuery) ([]ContactView, int, error) {
	list, total, err := o.listed(ctx, "contact", q)
	if err != nil {
		return nil, 0, err
	}
	views, err := o.contactViews(ctx, list)
	return views, total, err
}

func (o *Org) contactViews(ctx context.Context, list []int64) ([]ContactView, error) {
	contacts, err := o.contacts(ctx, o.read(), list)
	if err != nil {
		return nil, err
	}
	views := make([]ContactView, len(contacts))
	at := map[int64]*ContactView{}
	for i, c := range contacts {
		views[i].Contact = c
		at[int64(c.ID)] = &views[i]
	}
	err = o.personStats(ctx, "c", list, func(id int64, n int, last time.Time) {
		if v := at[id]; v != nil {
			v.Activities, v.Last = n, last
		}
	})
	return views, err
}
