package crm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A limit is one field of Limits, and all that is to be done with it.
type limit struct {
	name, title string
	// tighten makes l not wider than by.
	tighten func(l, by *Limits)
	copy    func(l, from *Limits)
	// widens tells whether now lets in something that old kept out.
	widens func(old, now *Limits) bool
	// lines are how the field reads: one for each entry of a list, else one.
	lines func(l *Limits) []string
	list  bool
}

// limits are all fields of Limits, in the order in which people read them.
var limits = [...]limit{
	list("excluded_folders", "Excluded folders", func(l *Limits) *[]string { return &l.ExcludedFolders }),
	{
		name: "since", title: "Nothing older than",
		tighten: func(l, by *Limits) {
			if by.Since.After(l.Since) {
				l.Since = by.Since
			}
		},
		copy:   func(l, from *Limits) { l.Since = from.Since },
		widens: func(old, now *Limits) bool { return now.Since.Before(old.Since) },
		lines:  func(l *Limits) []string { return []string{sinceText(l.Since)} },
	},
	number("max_size", "Largest message", "no limit", func(l *Limits) *int64 { return &l.MaxSize }),
	list("excluded", "Excluded people", func(l *Limits) *[]Pattern { return &l.Excluded }),
	list("sensitivities", "Kept out when marked", func(l *Limits) *[]Sensitivity { return &l.Sensitivities }),
	list("categories", "Kept out by category", func(l *Limits) *[]string { return &l.Categories }),
	{
		name: "headers_only", title: "Headers only",
		tighten: func(l, by *Limits) { l.HeadersOnly = l.HeadersOnly || by.HeadersOnly },
		copy:    func(l, from *Limits) { l.HeadersOnly = from.HeadersOnly },
		widens:  func(old, now *Limits) bool { return old.HeadersOnly && !now.HeadersOnly },
		lines:   func(l *Limits) []string { return []string{map[bool]string{true: "yes", false: "no"}[l.HeadersOnly]} },
	},
	{
		name: "attachments", title: "Attachments",
		tighten: func(l, by *Limits) {
			if by.Attachments.rank() > l.Attachments.rank() {
				l.Attachments = by.Attachments
			}
		},
		copy:   func(l, from *Limits) { l.Attachments = from.Attachments },
		widens: func(old, now *Limits) bool { return now.Attachments.rank() < old.Attachments.rank() },
		lines:  func(l *Limits) []string { return []string{string(attachmentModes[l.Attachments.rank()])} },
	},
	attachmentLimit(),
}

// attachmentLimit is a number of which 0 is DefaultAttachmentLimit.
func attachmentLimit() limit {
	f := number("attachment_limit", "Largest attachment", BytesText(DefaultAttachmentLimit), func(l *Limits) *int64 { return &l.AttachmentLimit })
	f.widens = func(old, now *Limits) bool {
		return cmp.Or(now.AttachmentLimit, DefaultAttachmentLimit) > cmp.Or(old.AttachmentLimit, DefaultAttachmentLimit)
	}
	return f
}

// LimitNames are the JSON names of all limits, in the order in which people read them.
func LimitNames() []string {
	names := make([]string, len(limits))
	for i := range limits {
		names[i] = limits[i].name
	}
	return names
}

// LimitTitle says the JSON name of a limit to people.
func LimitTitle(name string) string {
	for i := range limits {
		if limits[i].name == name {
			return limits[i].title
		}
	}
	return name
}

func titles(names []string) []string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = LimitTitle(name)
	}
	return list
}

// list is a limit that keeps out whatever one of its entries names.
func list[T ~string](name, title string, of func(*Limits) *[]T) limit {
	return limit{
		name: name, title: title, list: true,
		tighten: func(l, by *Limits) {
			all := slices.Clone(*of(l))
			for _, v := range *of(by) {
				if !slices.Contains(all, v) {
					all = append(all, v)
				}
			}
			*of(l) = all
		},
		copy: func(l, from *Limits) { *of(l) = *of(from) },
		widens: func(old, now *Limits) bool {
			return slices.ContainsFunc(*of(old), func(v T) bool { return !slices.Contains(*of(now), v) })
		},
		lines: func(l *Limits) []string { return plain(*of(l)) },
	}
}

// number is a limit in bytes of which 0 is none.
func number(name, title, none string, of func(*Limits) *int64) limit {
	return limit{
		name: name, title: title,
		tighten: func(l, by *Limits) {
			if n := *of(by); n > 0 && (*of(l) == 0 || n < *of(l)) {
				*of(l) = n
			}
		},
		copy:   func(l, from *Limits) { *of(l) = *of(from) },
		widens: func(old, now *Limits) bool { return *of(old) > 0 && (*of(now) == 0 || *of(now) > *of(old)) },
		lines: func(l *Limits) []string {
			if *of(l) == 0 {
				return []string{none}
			}
			return []string{BytesText(*of(l))}
		},
	}
}

// attachmentModes from the widest to the tightest.
var attachmentModes = [...]AttachmentMode{StoreAttachments, FetchOnDemand, NameAttachments}

// rank is greater for a tighter mode; that of one that does not exist is the tightest.
func (m AttachmentMode) rank() int {
	if m == "" {
		return 0
	}
	if i := slices.Index(attachmentModes[:], m); i >= 0 {
		return i
	}
	return len(attachmentModes) - 1
}

// KeepLocked returns the limits that a user sets, with those that are locked as they were:
// a form does not show them, and they would count again if they were unlocked.
func (p *Policy) KeepLocked(was, now Limits) Limits {
	for _, f := range limits {
		if slices.Contains(p.Locked, f.name) {
			f.copy(&now, &was)
		}
	}
	return now
}

// A Field is what one field of a policy says, in words for people.
type Field struct {
	Field  string // JSON name
	Title  string
	Values []string
}

// Text says what the limits are, each in its turn.
func (l *Limits) Text() []Field {
	fields := make([]Field, len(limits))
	for i, f := range limits {
		fields[i] = Field{f.name, f.title, f.lines(l)}
		if len(fields[i].Values) == 0 {
			fields[i].Values = []string{"none"}
		}
	}
	return fields
}

// Text says what the policy is, field by field.
func (p *Policy) Text() []Field {
	or := func(list []string, none string) []string {
		if len(list) == 0 {
			return []string{none}
		}
		return list
	}
	fields := []Field{
		{"domains", "Domains", or(p.Domains, "none")},
		{"allow", "Mailboxes allowed", or(plain(p.Allow), "all of the domains")},
		{"deny", "Mailboxes denied", or(plain(p.Deny), "none")},
		{"kinds", "Kinds of data", or(plain(p.Kinds), "none")},
	}
	return append(append(fields, p.Limits.Text()...), Field{"locked", "Locked for users", or(p.Locked, "none")})
}

// Loosened names the limits that let in something that the old ones kept out.
func Loosened(old, now Limits) []string {
	var names []string
	for _, f := range limits {
		if f.widens(&old, &now) {
			names = append(names, f.name)
		}
	}
	return names
}

// A Line is one difference between two versions of a policy.
type Line struct {
	Field    string `json:"field"` // JSON name
	Title    string `json:"title"`
	Old, New string // of a list: the entry, on the side where it stands
	Widens   bool   `json:"widens"` // more may be read, kept or seen than before
}

func (l Line) String() string {
	mark := ""
	if l.Widens {
		mark = " (wider)"
	}
	switch {
	case l.Old == "":
		return fmt.Sprintf("%s: + %s%s", l.Field, l.New, mark)
	case l.New == "":
		return fmt.Sprintf("%s: − %s%s", l.Field, l.Old, mark)
	}
	return fmt.Sprintf("%s: %s → %s%s", l.Field, l.Old, l.New, mark)
}

// Widens tells whether one of the differences lets in more than before.
func Widens(lines []Line) bool {
	return slices.ContainsFunc(lines, func(l Line) bool { return l.Widens })
}

// Diff says what is different in now. That a limit is locked widens something only where a
// user had tightened it, which is not for the policy to know.
func (p *Policy) Diff(now *Policy) []Line {
	lines := diffList("domains", "Domains", p.Domains, now.Domains, true)
	allow := diffList("allow", "Mailboxes allowed", plain(p.Allow), plain(now.Allow), true)
	for i := range allow { // an empty list allows all, so that its first entry is no widening, and its last one's end is
		allow[i].Widens = len(now.Allow) == 0 || len(p.Allow) > 0 && allow[i].New != ""
	}
	lines = append(lines, allow...)
	lines = append(lines, diffList("deny", "Mailboxes denied", plain(p.Deny), plain(now.Deny), false)...)
	lines = append(lines, diffList("kinds", "Kinds of data", plain(p.Kinds), plain(now.Kinds), true)...)
	lines = append(lines, DiffLimits(p.Limits, now.Limits)...)
	locked := diffList("locked", "Locked for users", titles(p.Locked), titles(now.Locked), false)
	for i := range locked {
		locked[i].Widens = false
	}
	return append(lines, locked...)
}

// DiffOwn says what is different in now of what a user set. It widens by what comes through
// then and did not before: what is not set, is locked or is tighter in the policy is the policy's.
func (p *Policy) DiffOwn(old, now Limits) []Line {
	loosened := Loosened(p.Tighten(old), p.Tighten(now))
	old.AttachmentLimit, now.AttachmentLimit = cmp.Or(old.AttachmentLimit, p.AttachmentLimit), cmp.Or(now.AttachmentLimit, p.AttachmentLimit)
	lines := DiffLimits(old, now)
	for i := range lines {
		lines[i].Widens = lines[i].Old != "" && slices.Contains(loosened, lines[i].Field)
	}
	return lines
}

// DiffLimits says what is different in now.
func DiffLimits(old, now Limits) []Line {
	var lines []Line
	for _, f := range limits {
		was, is := f.lines(&old), f.lines(&now)
		if f.list {
			lines = append(lines, diffList(f.name, f.title, was, is, false)...)
		} else if was[0] != is[0] {
			lines = append(lines, Line{f.name, f.title, was[0], is[0], f.widens(&old, &now)})
		}
	}
	return lines
}

// diffList compares lists in which the order says nothing. opens tells whether an entry
// opens something; else it closes it.
func diffList(field, title string, old, now []string, opens bool) []Line {
	var lines []Line
	for _, v := range old {
		if !slices.Contains(now, v) {
			lines = append(lines, Line{field, title, v, "", !opens})
		}
	}
	for _, v := range now {
		if !slices.Contains(old, v) {
			lines = append(lines, Line{field, title, "", v, opens})
		}
	}
	return lines
}

func plain[T ~string](list []T) []string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = string(v)
	}
	return texts
}

func sinceText(t time.Time) string {
	switch {
	case t.IsZero():
		return "no limit"
	case t.Equal(t.UTC().Truncate(24 * time.Hour)):
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// BytesText writes a number of bytes without losing any of it.
func BytesText(n int64) string {
	for _, unit := range [...]struct {
		size int64
		name string
	}{{1 << 20, " MB"}, {1 << 10, " KB"}} {
		if n%unit.size == 0 && n > 0 {
			return strconv.FormatInt(n/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// ParseBytes reads a number of bytes as people write it: 500 KB, 10MB, 2 GB, 1234. "" and "no
// limit" are 0.
func ParseBytes(text string) (int64, error) {
	typed := text
	text = strings.ToUpper(strings.TrimSpace(text))
	if text == "" || text == "NO LIMIT" {
		return 0, nil
	}
	digits := strings.TrimRight(text, "BKMGYTES ")
	shift, known := map[string]int{"": 0, "B": 0, "BYTES": 0, "K": 10, "KB": 10, "M": 20, "MB": 20, "G": 30, "GB": 30}[strings.TrimSpace(text[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 64)
	if !known || err != nil || n < 0 || n > 1<<40>>shift {
		return 0, fmt.Errorf("%q is not a size such as 500 KB or 10 MB", entry(typed))
	}
	return n << shift, nil
}

// entry shortens an entry for a message.
func entry(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
