package verify

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// A policy is as it stands in the table.
type policy struct {
	Domains []string `json:"domains"` // of users whose mail is collected
	Allow   []string `json:"allow"`
	Deny    []string `json:"deny"`
	Kinds   []string `json:"kinds"`
	limits
	Locked []string `json:"locked"` // limits that users do not tighten
}

// Limits are what is left alone: by the organization, and by a user in the own mailbox.
type limits struct {
	Folders         []string  `json:"excluded_folders"`
	Since           time.Time `json:"since"`
	MaxSize         int64     `json:"max_size"`
	Excluded        []string  `json:"excluded"`
	Sensitivities   []string  `json:"sensitivities"`
	Categories      []string  `json:"categories"`
	HeadersOnly     bool      `json:"headers_only"`
	Attachments     string    `json:"attachments"`
	AttachmentLimit int64     `json:"attachment_limit"`
}

// unsaved is the policy that holds until one is saved.
const unsaved = `{"kinds": ["email"], "sensitivities": ["private", "confidential"]}`

// usualAttachment is how large an attachment may be where nothing is said.
const usualAttachment = 25 << 20

// in returns what holds in the mailbox of a user with these limits: of two, the tighter.
func (p *policy) in(own limits) limits {
	for _, name := range p.Locked {
		switch name {
		case "excluded_folders":
			own.Folders = nil
		case "since":
			own.Since = time.Time{}
		case "max_size":
			own.MaxSize = 0
		case "excluded":
			own.Excluded = nil
		case "sensitivities":
			own.Sensitivities = nil
		case "categories":
			own.Categories = nil
		case "headers_only":
			own.HeadersOnly = false
		case "attachments":
			own.Attachments = ""
		case "attachment_limit":
			own.AttachmentLimit = 0
		}
	}
	all := p.limits
	all.Folders = slices.Concat(all.Folders, own.Folders)
	all.Excluded = slices.Concat(all.Excluded, own.Excluded)
	all.Sensitivities = slices.Concat(all.Sensitivities, own.Sensitivities)
	all.Categories = slices.Concat(all.Categories, own.Categories)
	all.HeadersOnly = all.HeadersOnly || own.HeadersOnly
	if own.Since.After(all.Since) {
		all.Since = own.Since
	}
	all.MaxSize = smaller(all.MaxSize, own.MaxSize)
	all.AttachmentLimit = smaller(cmp.Or(all.AttachmentLimit, usualAttachment), own.AttachmentLimit)
	if own.Attachments == "names" || all.Attachments != "names" && own.Attachments == "on-demand" {
		all.Attachments = own.Attachments
	}
	return all
}

// smaller is the smaller of two bounds, of which 0 is none.
func smaller(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// reads tells whether a mailbox is to be read. A group that nobody knows the members of
// denies everybody, and allows nobody.
func (p *policy) reads(address string, groups map[string][]string) bool {
	picks := func(selector string, unknown bool) bool {
		group, ok := strings.CutPrefix(selector, "group:")
		if !ok {
			return like(selector, address)
		}
		members, known := groups[group]
		return slices.Contains(members, address) || !known && unknown
	}
	return slices.Contains(p.Domains, domain(address)) &&
		!slices.ContainsFunc(p.Deny, func(s string) bool { return picks(s, true) }) &&
		(len(p.Allow) == 0 || slices.ContainsFunc(p.Allow, func(s string) bool { return picks(s, false) }))
}

// excludes tells whether nothing that names the address is filed.
func (l *limits) excludes(address string) bool {
	return slices.ContainsFunc(l.Excluded, func(pattern string) bool {
		if !strings.Contains(pattern, "@") {
			return like(pattern, domain(address))
		}
		return like(pattern, address)
	})
}

// passesOver tells whether the folder of an item is excluded, by its path or its role, or
// one that it lies in.
func (l *limits) passesOver(it *item) bool {
	var paths []string
	for i, c := range it.FolderPath + "/" {
		if c == '/' {
			paths = append(paths, folded(it.FolderPath[:i]))
		}
	}
	roles := append([]string{it.FolderRole}, it.Above...)
	return slices.ContainsFunc(l.Folders, func(pattern string) bool {
		pattern = folded(pattern)
		named := regexp.MustCompile("(?s)^(?:" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + ")$")
		return slices.ContainsFunc(paths, named.MatchString) || slices.Contains(roles, pattern)
	})
}

func folded(name string) string { return strings.ToLower(norm.NFC.String(name)) }

// keepsOut tells whether an item is marked, too old, too large, or has a category or a
// person on it, so that it must not be filed.
func (l *limits) keepsOut(it *item) bool {
	when := cmp.Or(it.Sent, it.Received)
	return slices.Contains(l.Sensitivities, it.Sensitivity) ||
		!l.Since.IsZero() && when != 0 && when < l.Since.UnixNano() ||
		l.MaxSize > 0 && it.Size > l.MaxSize ||
		slices.ContainsFunc(it.Categories, func(has string) bool {
			return slices.ContainsFunc(l.Categories, func(c string) bool { return strings.EqualFold(c, has) })
		}) ||
		slices.ContainsFunc(slices.Concat(it.senders(), it.recipients()), l.excludes)
}

// like compares a text with a pattern in which * is any run of characters but @.
func like(pattern, text string) bool {
	expression := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, "[^@]*")
	return regexp.MustCompile("^(?:" + expression + ")$").MatchString(text)
}

func domain(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }
