package crm

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxEntries bounds each list of a policy.
const maxEntries = 2000

// Check returns the policy as it is to be saved: entries in the form in which they are
// compared, blanks and repetitions dropped. Or it says what is wrong with each field, by its
// JSON name. A policy that was checked stays as it is when it is checked again.
func (p Policy) Check() (Policy, []FieldError) {
	var errs []FieldError
	wrong := func(field, code, format string, args ...any) {
		errs = append(errs, FieldError{field, code, fmt.Sprintf(format, args...)})
	}
	domains, bad := checkDomains(p.Domains)
	for _, err := range bad {
		wrong("domains", "malformed", "%s", err)
	}
	if len(domains) == 0 && len(bad) == 0 {
		wrong("domains", "required", "At least one domain is required: only mailboxes of these domains are ever touched.")
	}
	slices.Sort(domains)
	p.Domains = domains
	p.Allow = normalize("allow", p.Allow, NormalizeSelector, wrong)
	p.Deny = normalize("deny", p.Deny, NormalizeSelector, wrong)
	p.Kinds = normalize("kinds", p.Kinds, oneOf(Kinds[:]...), wrong)
	slices.Sort(p.Kinds)
	p.Locked = normalize("locked", p.Locked, oneOf(LimitNames()...), wrong)
	slices.Sort(p.Locked)
	checked, bads := p.Limits.Check()
	p.Limits = checked
	return p, append(errs, bads...)
}

// Check does for limits what Policy.Check does for a policy.
func (l Limits) Check() (Limits, []FieldError) {
	var errs []FieldError
	wrong := func(field, code, format string, args ...any) {
		errs = append(errs, FieldError{field, code, fmt.Sprintf(format, args...)})
	}
	l.ExcludedFolders = normalize("excluded_folders", l.ExcludedFolders, normalizeFolder, wrong)
	l.Excluded = normalize("excluded", l.Excluded, NormalizePattern, wrong)
	l.Sensitivities = normalize("sensitivities", l.Sensitivities, oneOf(Personal, Private, Confidential), wrong)
	slices.Sort(l.Sensitivities)
	l.Categories = normalize("categories", l.Categories, normalizeCategory, wrong)
	if !l.Since.IsZero() {
		l.Since = l.Since.UTC()
	}
	if l.MaxSize < 0 {
		wrong("max_size", "malformed", "A message cannot be smaller than nothing.")
	}
	if l.AttachmentLimit < 0 {
		wrong("attachment_limit", "malformed", "An attachment cannot be smaller than nothing.")
	}
	if l.Attachments != "" && !slices.Contains(attachmentModes[:], l.Attachments) {
		wrong("attachments", "unknown", "%q is none of: store, on-demand, names.", entry(string(l.Attachments)))
	}
	return l, errs
}

// normalize brings the entries of a list into normal form; what cannot be is told.
func normalize[T ~string](field string, list []T, form func(string) (T, error), wrong func(field, code, format string, args ...any)) []T {
	if len(list) > maxEntries {
		wrong(field, "too-many", "There are %d entries; %d are allowed.", len(list), maxEntries)
		return list
	}
	var good []T
	for _, text := range list {
		if strings.TrimSpace(string(text)) == "" {
			continue
		}
		v, err := form(string(text))
		switch {
		case err != nil:
			wrong(field, "malformed", "%s.", err)
		case !slices.Contains(good, v):
			good = append(good, v)
		}
	}
	return good
}

// oneOf reads one of some words.
func oneOf[T ~string](words ...T) func(string) (T, error) {
	return func(text string) (T, error) {
		if v := T(strings.ToLower(strings.TrimSpace(text))); slices.Contains(words, v) {
			return v, nil
		}
		return "", fmt.Errorf("%q is none of: %s", entry(text), strings.Join(plain(words), ", "))
	}
}

func normalizeFolder(text string) (string, error) {
	path := strings.TrimFunc(norm.NFC.String(text), func(r rune) bool { return r == '/' || unicode.IsSpace(r) })
	switch {
	case hasControl(path) || len(path) > maxPattern || strings.Count(path, "*") > maxStars:
		return "", fmt.Errorf("%q is no folder: at most %d characters and %d stars, and no control characters", entry(text), maxPattern, maxStars)
	case strings.Trim(path, "*/ ") == "":
		return "", fmt.Errorf("%q would exclude every folder", entry(text))
	}
	return path, nil
}

func normalizeCategory(text string) (string, error) {
	name := strings.TrimSpace(text)
	if hasControl(name) || len(name) > 255 {
		return "", fmt.Errorf("%q is no category of Outlook: at most 255 characters, and no control characters", entry(text))
	}
	return name, nil
}
