package main

import (
	"fmt"
	"time"

	"postern/crm"
)

// ownFlags change limits: what is named replaces what was, an empty text empties it.
type ownFlags struct {
	ExcludeFolder   []string `help:"Read no folder of this path, such as Private or */Private, nor what lies below; a role such as sentitems names it in any language. Replaces the list; an empty text empties it."`
	Since           *string  `help:"File nothing older than this day, such as 2026-01-01; an empty text: no limit."`
	MaxSize         *string  `help:"File nothing larger, such as 10MB; 0: no limit."`
	Exclude         []string `help:"File nothing that names this address or domain; * stands for any run of characters, as in *@*.bank.example. Replaces the list; an empty text empties it."`
	Marked          []string `name:"sensitivity" aliases:"marked" help:"File nothing that its sender marked so: personal, private, confidential. Replaces the list; an empty text empties it."`
	Category        []string `help:"File nothing that has this category in Outlook. Replaces the list; an empty text empties it."`
	HeadersOnly     *bool    `help:"Fetch no text: of what matches, file the header alone." negatable:""`
	Attachments     string   `help:"store: fetch and keep them; on-demand: fetch one when somebody opens it; names: list them only." enum:",store,on-demand,names" default:""`
	AttachmentLimit *string  `help:"Keep no attachment larger, such as 25MB; 0: the default."`
}

// policyFlags change a policy.
type policyFlags struct {
	Domain []string `help:"Domain whose mailboxes may be read; replaces the list."`
	Allow  []string `help:"Mailbox that may be read: an address, a pattern such as crm-*@acme.example, or group:ADDRESS; none = all of the domains. Replaces the list; an empty text empties it."`
	Deny   []string `help:"Mailbox that may not be read, in the same ways; wins over --allow. Replaces the list; an empty text empties it."`
	Kind   []string `help:"Kind of data that may be read: email, event, task, contact; replaces the list."`
	ownFlags
	Lock []string `help:"Limit that users may not tighten for themselves, by its name in policy export. Replaces the list; an empty text empties it."`
}

// list replaces a list by what was named.
func list[T ~string](to *[]T, named []string) {
	if named == nil {
		return
	}
	*to = nil
	for _, text := range named {
		if text != "" {
			*to = append(*to, T(text))
		}
	}
}

// apply puts what was named into a policy.
func (f *policyFlags) apply(p *crm.Policy) error {
	list(&p.Domains, f.Domain)
	list(&p.Allow, f.Allow)
	list(&p.Deny, f.Deny)
	list(&p.Kinds, f.Kind)
	list(&p.Locked, f.Lock)
	return f.ownFlags.apply(&p.Limits)
}

func (f *ownFlags) apply(l *crm.Limits) (err error) {
	list(&l.ExcludedFolders, f.ExcludeFolder)
	list(&l.Excluded, f.Exclude)
	list(&l.Sensitivities, f.Marked)
	list(&l.Categories, f.Category)
	if f.Since != nil {
		l.Since = time.Time{}
		if *f.Since != "" {
			if l.Since, err = time.Parse(time.DateOnly, *f.Since); err != nil {
				return badArgument(fmt.Sprintf("%q is not a day.", *f.Since), "Write it as 2026-01-31.", err)
			}
		}
	}
	if f.HeadersOnly != nil {
		l.HeadersOnly = *f.HeadersOnly
	}
	if f.Attachments != "" {
		l.Attachments = crm.AttachmentMode(f.Attachments)
	}
	for _, size := range []struct {
		from *string
		to   *int64
	}{{f.MaxSize, &l.MaxSize}, {f.AttachmentLimit, &l.AttachmentLimit}} {
		if size.from == nil {
			continue
		}
		if *size.to, err = crm.ParseBytes(*size.from); err != nil {
			return badArgument(err.Error()+".", "Write it as 500KB or 10MB; 0 is none.", err)
		}
	}
	return nil
}
