package web

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/crm"
)

// policyForm is a policy as it stands in the form.
type policyForm struct {
	Version              int64 // that it was made of
	Domains, Allow, Deny string
	Kinds                []option
	Limits               []limitRow
	Errors               map[string][]crm.FieldError
}

// An option is a box to tick, or an entry of a list to choose one from.
type option struct {
	Value, Title string
	On           bool
}

// A limitRow is one limit of a form.
type limitRow struct {
	Name, Title, Hint string
	Kind              string // lines, date, size, ticks, switch, choice
	Text              string // of lines, date, size
	Choices           []option
	On                bool
	Locked            bool
	Org               []string // in a user's form: what the organization set
	Errors            []crm.FieldError
}

var markingTitles = [...]option{{Value: string(crm.Personal), Title: "personal"}, {Value: string(crm.Private), Title: "private"}, {Value: string(crm.Confidential), Title: "confidential"}}

var attachmentTitles = [...]option{{Value: string(crm.StoreAttachments), Title: "Fetch and store"}, {Value: string(crm.FetchOnDemand), Title: "Fetch when somebody opens one"}, {Value: string(crm.NameAttachments), Title: "Names only"}}

// limitKinds say how each limit is entered; the order is that of crm.LimitNames.
var limitKinds = map[string]limitRow{
	"excluded_folders": {Kind: "lines", Hint: "One path a line, with all below it, as Private or */Private; inbox and sentitems name those folders in any language."},
	"since":            {Kind: "date", Hint: "Older mail is not filed."},
	"max_size":         {Kind: "size", Hint: "As 10 MB; empty: no limit."},
	"excluded":         {Kind: "lines", Hint: "One address or domain a line; * stands for any run of characters, as in *@*.bank.example."},
	"sensitivities":    {Kind: "ticks"},
	"categories":       {Kind: "lines", Hint: "One category of Outlook a line."},
	"headers_only":     {Kind: "switch", Hint: "No text is fetched: of what matches, who, when and the subject are filed."},
	"attachments":      {Kind: "choice"},
	"attachment_limit": {Kind: "size", Hint: "As 10 MB; empty: 25 MB."},
}

func lines[T ~string](list []T) string {
	var b strings.Builder
	for _, v := range list {
		b.WriteString(string(v))
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func unlines[T ~string](text string) []T {
	var list []T
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, T(line))
		}
	}
	return list
}

func ticked[T ~string](of []option, on []T) []option {
	list := slices.Clone(of)
	for i := range list {
		list[i].On = slices.Contains(on, T(list[i].Value))
	}
	return list
}

func newPolicyForm(p crm.Policy) policyForm {
	f := policyForm{Version: p.Version, Domains: lines(shownDomains(p.Domains)), Allow: lines(p.Allow), Deny: lines(p.Deny),
		Limits: limitRows(p.Limits, p.Locked)}
	for _, k := range crm.Kinds {
		f.Kinds = append(f.Kinds, option{string(k), k.Title(), p.AllowsKind(k)})
	}
	return f
}

// limitRows are the limits as they stand in a form.
func limitRows(l crm.Limits, locked []string) []limitRow {
	size := func(n int64) string {
		if n == 0 {
			return ""
		}
		return crm.BytesText(n)
	}
	var rows []limitRow
	for _, name := range crm.LimitNames() {
		row := limitKinds[name]
		row.Name, row.Title, row.Locked = name, crm.LimitTitle(name), slices.Contains(locked, name)
		switch name {
		case "excluded_folders":
			row.Text = lines(l.ExcludedFolders)
		case "since":
			if !l.Since.IsZero() {
				row.Text = l.Since.UTC().Format(time.DateOnly)
			}
		case "max_size":
			row.Text = size(l.MaxSize)
		case "excluded":
			row.Text = lines(l.Excluded)
		case "sensitivities":
			row.Choices = ticked(markingTitles[:], l.Sensitivities)
		case "categories":
			row.Text = lines(l.Categories)
		case "headers_only":
			row.On = l.HeadersOnly
		case "attachments":
			row.Choices = ticked(attachmentTitles[:], []crm.AttachmentMode{cmp.Or(l.Attachments, crm.StoreAttachments)})
		case "attachment_limit":
			row.Text = size(l.AttachmentLimit)
		}
		rows = append(rows, row)
	}
	return rows
}

// readPolicyForm returns the form as it was filled in, and the policy that it says. What
// cannot be read at all is told; the rest is for Policy.Check.
func readPolicyForm(form url.Values) (policyForm, crm.Policy, []crm.FieldError) {
	version, _ := strconv.ParseInt(form.Get("version"), 10, 64)
	p := crm.Policy{Version: version, Domains: unlines[string](form.Get("domains")), Allow: unlines[crm.Selector](form.Get("allow")), Deny: unlines[crm.Selector](form.Get("deny")), Locked: form["locked"]}
	for _, kind := range form["kinds"] {
		p.Kinds = append(p.Kinds, crm.Kind(kind))
	}
	l, wrong := readLimits(form)
	p.Limits = l
	f := newPolicyForm(p)
	f.Domains, f.Allow, f.Deny = form.Get("domains"), form.Get("allow"), form.Get("deny")
	asTyped(f.Limits, form)
	return f, p, wrong
}

// asTyped puts the texts back as they were typed, wrong ones included.
func asTyped(rows []limitRow, form url.Values) {
	for i := range rows {
		if kind := rows[i].Kind; kind == "lines" || kind == "date" || kind == "size" {
			rows[i].Text = form.Get(rows[i].Name)
		}
	}
}

func readLimits(form url.Values) (crm.Limits, []crm.FieldError) {
	var wrong []crm.FieldError
	l := crm.Limits{ExcludedFolders: unlines[string](form.Get("excluded_folders")), Excluded: unlines[crm.Pattern](form.Get("excluded")),
		Categories: unlines[string](form.Get("categories")), HeadersOnly: form.Get("headers_only") != "", Attachments: crm.AttachmentMode(form.Get("attachments"))}
	for _, m := range form["sensitivities"] {
		l.Sensitivities = append(l.Sensitivities, crm.Sensitivity(m))
	}
	if text := strings.TrimSpace(form.Get("since")); text != "" {
		var err error
		if l.Since, err = time.Parse(time.DateOnly, text); err != nil {
			wrong = append(wrong, crm.FieldError{Field: "since", Code: "malformed", Message: fmt.Sprintf("%q is not a day such as 2026-01-31.", text)})
		}
	}
	for name, to := range map[string]*int64{"max_size": &l.MaxSize, "attachment_limit": &l.AttachmentLimit} {
		var err error
		if *to, err = crm.ParseBytes(form.Get(name)); err != nil {
			wrong = append(wrong, crm.FieldError{Field: name, Code: "malformed", Message: err.Error() + "."})
		}
	}
	return l, wrong
}

// setErrors spreads errors over the fields and tells how many fields have some.
func (f *policyForm) setErrors(list []crm.FieldError) int {
	f.Errors = byField(list)
	for i := range f.Limits {
		f.Limits[i].Errors = f.Errors[f.Limits[i].Name]
	}
	return len(f.Errors)
}

// Field is what is wrong with one field.
func (f *policyForm) Field(name string) field { return field{name, f.Errors[name]} }
