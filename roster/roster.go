// Package roster reads people from the files that other programs export: contacts from CSV
// and vCard, users from CSV.
//
// Such files are made by hand, by spreadsheets of all countries and by address books of all
// ages. So the delimiter, the character set and the columns are found out, and a row that
// cannot be read is told with its number, its column and the reason, while the rows around
// it stay good. What is promised:
//
//   - A row is read whole or not at all: one bad address keeps the whole person out.
//   - Whatever was left out or guessed is told, in [File.Bad] and [File.Notes].
//   - The file is read as it streams; a row is bounded, the number of rows is not.
//
// A file of which nothing can be used is a *crm.Fault whose code begins with "people-file-".
package roster

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/crm"
	"postern/mail"
)

// A File is what was read of a file of people.
type File[T crm.Contact | crm.User] struct {
	People  []T
	Rows    []int      // where each of People stands
	Bad     []RowError // what is wrong with the other rows; one row may have several
	Notes   []string   // what was guessed, or left out of all rows
	Columns []string   // of a CSV file, what it tells of each person: name, first name, email, admin, …
}

// A RowError says why a row was not read.
type RowError struct {
	Row     int    // as a spreadsheet numbers it, the heading being 1; in a vCard file the line
	Column  string // as the heading calls it, or the vCard property; "" when it is the whole row
	Value   string // what stands there, cut short and made fit to be shown
	Code    string // stable: bad-address, no-address, duplicate-address, address-taken, …
	Message string // the reason, in words
}

func (e RowError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "row %d", e.Row)
	if e.Column != "" {
		fmt.Fprintf(&b, ", column %s", e.Column)
	}
	if e.Value != "" {
		fmt.Fprintf(&b, ", %q", e.Value)
	}
	fmt.Fprintf(&b, ": %s (%s)", e.Message, e.Code)
	return b.String()
}

// Contacts reads contacts from a CSV or vCard file; which of them it is shows in its
// content. The name is for messages. In CSV the first row names the columns, in any order
// and case: "name" or "first name" and "last name", "company", "title", "email" (any number
// of columns, or several addresses in one, separated by semicolons), and what the exports
// of Outlook, Google and the usual CRMs call these. A contact without a name is called by
// its address.
func Contacts(r io.Reader, name string) (*File[crm.Contact], error) {
	in, err := open(r, name)
	if err != nil {
		return nil, err
	}
	if in.vcard {
		return readCards(in)
	}
	return readCSV(in, contactFields, func(r *row) crm.Contact {
		addresses := r.addresses()
		return crm.Contact{
			Name:      cmp.Or(r.name(), firstDisplay(addresses)),
			Company:   r.text(company),
			Title:     r.text(title),
			Addresses: addresses,
		}
	})
}

// Users reads users from a CSV file with the columns "name" (or "first name" and "last
// name"), "email" (the first address is the one of the mailbox), "admin" and "active"; the
// last two hold yes or no and may be absent: nobody is an admin then, and all are active.
// An address that two active users of the file have is an error at the second.
func Users(r io.Reader, name string) (*File[crm.User], error) {
	in, err := open(r, name)
	if err != nil {
		return nil, err
	}
	if in.vcard {
		return nil, unusable("vcard", name+" holds vCards; users are read from CSV only.",
			"Save them as a CSV file with the columns name, email and admin.")
	}
	owner := make(map[mail.Address]int) // row of the active user who has it
	return readCSV(in, userFields, func(r *row) crm.User {
		addresses := r.addresses()
		u := crm.User{
			Name:      cmp.Or(r.name(), firstDisplay(addresses)),
			Addresses: addresses,
			Admin:     r.flag(admin, false),
			Active:    r.flag(active, true),
		}
		if !u.Active {
			return u
		}
		for _, a := range addresses {
			if first, taken := owner[a]; taken {
				r.wrong(email, a.Display(), "duplicate-address", fmt.Sprintf("the user in row %d has this address already", first))
			}
		}
		if len(r.bad) == 0 {
			for _, a := range addresses {
				owner[a] = r.n
			}
		}
		return u
	})
}

// Refuse takes the i-th person out and says why, as when it turns out later that one
// cannot be saved. Row is filled in.
func (f *File[T]) Refuse(i int, why RowError) {
	why.Row = f.Rows[i]
	f.People = slices.Delete(f.People, i, i+1)
	f.Rows = slices.Delete(f.Rows, i, i+1)
	at, _ := slices.BinarySearchFunc(f.Bad, why.Row, func(e RowError, row int) int { return cmp.Compare(e.Row, row+1) })
	f.Bad = slices.Insert(f.Bad, at, why)
}

// BadRows is the number of rows that were not read.
func (f *File[T]) BadRows() int {
	n, last := 0, 0
	for _, e := range f.Bad {
		if e.Row != last {
			n, last = n+1, e.Row
		}
	}
	return n
}

// add takes a person, unless something is wrong with its row.
func (f *File[T]) add(person T, row int, bad []RowError) {
	if len(bad) > 0 {
		f.Bad = append(f.Bad, bad...)
		return
	}
	f.People = append(f.People, person)
	f.Rows = append(f.Rows, row)
}

// unusable is the fault of a file that cannot be read at all.
func unusable(code, message, advice string) *crm.Fault {
	return &crm.Fault{Verdict: crm.Refused, Code: "people-file-" + code, Message: message, Advice: advice}
}

func unreadable(name string, err error) *crm.Fault {
	f := unusable("unreadable", name+" cannot be read: "+err.Error()+".", "Look whether the file is whole and may be read.")
	f.Err = err
	return f
}

// maxText bounds a name, a company and a title, in characters.
const maxText = 500

// clean brings a text of one cell on one line. The reason why it cannot be taken comes
// as code and message.
func clean(s string) (text, code, message string) {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' }), " ")
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return "", "control-character", fmt.Sprintf("holds the control character %U", r)
	}
	if utf8.RuneCountInString(s) > maxText {
		return "", "too-long", fmt.Sprintf("longer than %d characters", maxText)
	}
	return s, "", ""
}

// show makes what stands in a cell fit to be shown.
func show(s string) string {
	const most = 60
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s))
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}

// addAddresses reads the addresses of a cell and adds those that are new to list: one in
// any form, or several, separated by semicolons, commas, line ends, blanks, or the ":::"
// of Google's export. When one of them cannot be read, it comes back with the reason.
func addAddresses(list []mail.Address, cell string) (all []mail.Address, bad string, err error) {
	add := func(s string) error {
		a, err := mail.ParseAddress(s)
		if err == nil && !slices.Contains(list, a) {
			list = append(list, a)
		}
		return err
	}
	if cell == "" || add(cell) == nil {
		return list, "", nil
	}
	for part := range strings.FieldsFuncSeq(strings.ReplaceAll(cell, ":::", ";"), func(r rune) bool { return r == ';' || r == ',' || r == '\n' || r == '\r' }) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		err := add(part)
		if err != nil && strings.Count(part, "@") > 1 && !strings.ContainsAny(part, "<\"(") {
			for word := range strings.FieldsSeq(part) {
				if err = add(word); err != nil {
					part = word
					break
				}
			}
		}
		if err != nil {
			return list, part, err
		}
	}
	return list, "", nil
}

func firstDisplay(addresses []mail.Address) string {
	if len(addresses) == 0 {
		return ""
	}
	return addresses[0].Display()
}
