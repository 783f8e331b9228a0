package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"postern/mail"
	"postern/store"
)

// rulesCommand changes what is named and leaves the rest. Who is a contact and who a user
// is not a rule but the people; which domains are read stands with the Email settings.
type rulesCommand struct {
	dataFlags
	ExcludeAddress  []string `help:"File nothing that names this address; replaces the list; an empty text empties it."`
	ExcludeDomain   []string `help:"File nothing that names an address of this domain; replaces the list; an empty text empties it."`
	Since           *string  `help:"File nothing older than this day, such as 2026-01-01; an empty text: no limit."`
	FilePrivate     *bool    `help:"File also what its sender marked private or confidential." negatable:""`
	Attachments     string   `help:"store: fetch and keep them; names: list them only; on-demand: fetch one when somebody opens it." enum:",store,names,on-demand" default:""`
	AttachmentLimit *int64   `help:"Keep no attachment larger than so many megabytes; 0 = 25."`
}

func (r *rulesCommand) Run(c *common) error {
	st, org, err := r.make(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	rules, err := org.Rules(c.ctx)
	if err != nil {
		return err
	}
	changed, err := r.apply(&rules)
	if err != nil {
		return err
	}
	if changed {
		if rules, err = saveRules(c.ctx, org, rules); err != nil {
			return err
		}
	}
	since := "no limit"
	if !rules.Since.IsZero() {
		since = rules.Since.Format(time.DateOnly)
	}
	_, err = fmt.Fprintf(c.out, "excluded addresses  %s\nexcluded domains    %s\nsince               %s\nfile private        %v\nattachments         %s, up to %d MB each\n",
		join(rules.ExcludedAddresses), strings.Join(rules.ExcludedDomains, ";"), since, rules.FilePrivate, rules.Attachments, rules.AttachmentLimit>>20)
	return err
}

func saveRules(ctx context.Context, org *store.Org, rules store.Rules) (store.Rules, error) {
	if err := org.SaveRules(ctx, rules); err != nil {
		return rules, err
	}
	return org.Rules(ctx)
}

// apply puts what was named on the command line into the rules.
func (r *rulesCommand) apply(rules *store.Rules) (changed bool, err error) {
	if r.ExcludeAddress != nil {
		rules.ExcludedAddresses, changed = nil, true
		for _, text := range r.ExcludeAddress {
			if text == "" {
				continue
			}
			address, err := parseAddress(text)
			if err != nil {
				return false, err
			}
			rules.ExcludedAddresses = append(rules.ExcludedAddresses, address)
		}
	}
	if r.ExcludeDomain != nil {
		rules.ExcludedDomains, changed = nil, true
		for _, text := range r.ExcludeDomain {
			if text == "" {
				continue
			}
			domain, err := mail.NormalizeDomain(text)
			if err != nil {
				return false, badArgument(err.Error(), "Give a domain such as example.com.", err)
			}
			rules.ExcludedDomains = append(rules.ExcludedDomains, domain)
		}
	}
	if r.Since != nil {
		rules.Since, changed = time.Time{}, true
		if *r.Since != "" {
			if rules.Since, err = time.Parse(time.DateOnly, *r.Since); err != nil {
				return false, badArgument(fmt.Sprintf("%q is not a day.", *r.Since), "Write it as 2026-01-31.", err)
			}
		}
	}
	if r.FilePrivate != nil {
		rules.FilePrivate, changed = *r.FilePrivate, true
	}
	if r.Attachments != "" {
		rules.Attachments, changed = store.AttachmentMode(r.Attachments), true
	}
	if r.AttachmentLimit != nil {
		if *r.AttachmentLimit < 0 {
			return false, badArgument("An attachment cannot be smaller than nothing.", "Give --attachment-limit in megabytes.", nil)
		}
		rules.AttachmentLimit, changed = *r.AttachmentLimit<<20, true
	}
	return changed, nil
}
