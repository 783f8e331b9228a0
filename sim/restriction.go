package sim

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"postern/ews"
)

// A lookup returns the value of a property as text; ok is false when there is none.
type lookup func(ews.Path) (value string, ok bool)

// matches judges a search filter.
func matches(c *ews.Condition, get lookup) bool {
	if c == nil {
		return true
	}
	switch c.Element {
	case "And":
		for i := range c.All {
			if !matches(&c.All[i], get) {
				return false
			}
		}
		return true
	case "Or":
		for i := range c.All {
			if matches(&c.All[i], get) {
				return true
			}
		}
		return false
	case "Not":
		return len(c.All) > 0 && !matches(&c.All[0], get)
	case "Exists":
		_, ok := get(c.Path)
		return ok
	case "Contains":
		value, ok := get(c.Path)
		return ok && contains(value, c)
	case "Excludes":
		value, _ := get(c.Path)
		bits, _ := strconv.ParseInt(value, 10, 64)
		mask, _ := strconv.ParseInt(c.Bitmask, 0, 64)
		return bits&mask == 0
	}
	return compares(c, get)
}

// contains judges a Contains node. Comparisons that differ in accents only are taken
// for IgnoreCase.
func contains(value string, c *ews.Condition) bool {
	constant := c.Constant
	if c.Comparison != "Exact" {
		value, constant = strings.ToLower(value), strings.ToLower(constant)
	}
	switch c.Mode {
	case "FullString":
		return value == constant
	case "Prefixed", "PrefixOnWords":
		return strings.HasPrefix(value, constant)
	}
	return strings.Contains(value, constant)
}

func compares(c *ews.Condition, get lookup) bool {
	value, ok := get(c.Path)
	other := c.Constant
	if c.Other != nil {
		other, _ = get(*c.Other)
	}
	if !ok {
		return c.Element == "IsNotEqualTo"
	}
	order := compareValues(value, other)
	switch c.Element {
	case "IsEqualTo":
		return order == 0
	case "IsNotEqualTo":
		return order != 0
	case "IsGreaterThan":
		return order > 0
	case "IsGreaterThanOrEqualTo":
		return order >= 0
	case "IsLessThan":
		return order < 0
	case "IsLessThanOrEqualTo":
		return order <= 0
	}
	return false
}

// compareValues compares numbers as numbers, times as times, and the rest as text
// whatever its case.
func compareValues(a, b string) int {
	if x, err := strconv.ParseInt(a, 10, 64); err == nil {
		if y, err := strconv.ParseInt(b, 10, 64); err == nil {
			return cmp.Compare(x, y)
		}
	}
	if x, err := time.Parse(time.RFC3339, a); err == nil {
		if y, err := time.Parse(time.RFC3339, b); err == nil {
			return x.Compare(y)
		}
	}
	return cmp.Compare(strings.ToLower(a), strings.ToLower(b))
}

// lookup returns the property of an item that a filter or sort order names.
func (v *view) lookup(p ews.Path) (string, bool) {
	it := v.item
	switch p.FieldURI {
	case "":
		value, values, ok := v.extended(p.Extended)
		return value + strings.Join(values, ";"), ok
	case "item:DateTimeReceived":
		return wireTime(it.letter.received), true
	case "item:DateTimeSent":
		return wireTime(it.letter.sent), !it.letter.sent.IsZero()
	case "item:DateTimeCreated":
		return wireTime(it.added), true
	case "item:LastModifiedTime":
		return wireTime(it.modified), true
	case "item:Size":
		return strconv.FormatInt(it.letter.at.len, 10), true
	case "item:ItemClass":
		return it.letter.class, true
	case "message:IsRead":
		return strconv.FormatBool(it.read), true
	}
	if v.openHeader() != nil {
		return "", false
	}
	h := v.header
	switch p.FieldURI {
	case "item:Subject":
		return v.subject(), true
	case "message:InternetMessageId":
		return h.Get("Message-ID"), h.Has("Message-ID")
	case "message:From":
		return h.Get("From"), h.Has("From")
	case "message:Sender":
		return h.Get("Sender"), h.Has("Sender")
	case "message:ToRecipients", "item:DisplayTo":
		return h.Get("To"), h.Has("To")
	case "message:CcRecipients", "item:DisplayCc":
		return h.Get("Cc"), h.Has("Cc")
	}
	return "", false
}

// lookup returns the property of a folder that a filter names.
func (f *Folder) lookup(p ews.Path) (string, bool) {
	switch p.FieldURI {
	case "":
		return f.extended(&p.Extended)
	case "folder:DisplayName":
		return f.name, true
	case "folder:FolderClass":
		return f.class, f.class != ""
	case "folder:TotalCount":
		return strconv.Itoa(f.live), true
	case "folder:UnreadCount":
		return strconv.Itoa(f.unread), true
	}
	return "", false
}
