package roster

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// A field is what a column can mean.
type field string

const (
	name    field = "name"
	given   field = "first name"
	middle  field = "middle name"
	family  field = "last name"
	company field = "company"
	title   field = "title"
	email   field = "email"
	admin   field = "admin"
	active  field = "active"
)

// A fieldSet are the fields that a kind of people has, and how a person is told of them.
type fieldSet struct {
	fields map[field]bool
	usage  string
}

var (
	contactFields = fieldSet{
		map[field]bool{name: true, given: true, middle: true, family: true, company: true, title: true, email: true},
		"name (or first name, last name), company, title, email, email 2 …",
	}
	userFields = fieldSet{
		map[field]bool{name: true, given: true, middle: true, family: true, email: true, admin: true, active: true},
		"name (or first name, last name), email, admin, active",
	}
)

// headings are names of columns, letters only and in lower case, as Outlook, Google and
// CRMs write them. In Outlook's own export "Title" is Mr or Mrs, and "Job Title" stands
// beside it: a heading marked 2 counts only when none marked 1 is there.
var headings = map[string]struct {
	field field
	rank  int
}{
	"name": {name, 1}, "fullname": {name, 1}, "displayname": {name, 2}, "contactname": {name, 1}, "contact": {name, 2}, "username": {name, 2}, "person": {name, 2},
	"firstname": {given, 1}, "givenname": {given, 1}, "forename": {given, 1},
	"middlename": {middle, 1}, "additionalname": {middle, 2},
	"lastname": {family, 1}, "surname": {family, 1}, "familyname": {family, 1},
	"company": {company, 1}, "companyname": {company, 1}, "account": {company, 1}, "accountname": {company, 1},
	"organization": {company, 1}, "organisation": {company, 1}, "organizationname": {company, 1}, "organisationname": {company, 1}, "employer": {company, 2},
	"jobtitle": {title, 1}, "organizationtitle": {title, 1}, "position": {title, 2}, "title": {title, 2},
	"admin": {admin, 1}, "administrator": {admin, 1}, "isadmin": {admin, 1},
	"active": {active, 1}, "isactive": {active, 1}, "enabled": {active, 1}, "status": {active, 2},
}

// emailHeading matches the many names of columns with addresses: email, E-mail 2 Address,
// E-mail 1 - Value, Other Email, PrimarySmtpAddress, Email (work).
var emailHeading = regexp.MustCompile(`^(primary|main|secondary|other|additional|alternate|alternative|work|business|company|home|private|personal)?(email|mail|smtp)(s|id|value|address|addresses)?(primary|secondary|other|work|business|home|private|personal)?$`)

// meaning tells what a heading means, and how sure that is.
func meaning(heading string) (field, int) {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
	if emailHeading.MatchString(letters) {
		return email, 1
	}
	h := headings[letters]
	return h.field, h.rank
}

// columns tell where each field stands. A heading of no meaning has the field "".
type columns struct {
	heading []string
	comma   byte            // what separates the cells
	at      map[field][]int // email may stand in several columns, all else in one
}

// names lists the fields that were found.
func (c *columns) names() []string {
	var list []string
	for f := range c.at {
		list = append(list, string(f))
	}
	slices.Sort(list)
	return list
}

// findColumns reads the heading. The notes name the columns that are not used.
func findColumns(heading []string, known fieldSet, file string) (*columns, []string, error) {
	for i := range heading {
		heading[i] = strings.TrimSpace(heading[i])
	}
	for len(heading) > 0 && heading[len(heading)-1] == "" {
		heading = heading[:len(heading)-1]
	}
	c := &columns{heading: heading, at: make(map[field][]int)}
	for _, rank := range []int{1, 2} {
		for i, h := range heading {
			f, r := meaning(h)
			if r == rank && known.fields[f] && (f == email || len(c.at[f]) == 0) {
				c.at[f] = append(c.at[f], i)
			}
		}
	}
	if len(c.at[email]) == 0 {
		return nil, nil, noColumns(heading, known, file)
	}
	used := make([]bool, len(heading))
	for _, at := range c.at {
		for _, i := range at {
			used[i] = true
		}
	}
	var unused []string
	for i, h := range heading {
		if !used[i] {
			unused = append(unused, h)
		}
	}
	if len(unused) == 0 {
		return c, nil, nil
	}
	return c, []string{"Columns not used: " + quoteList(unused) + "."}, nil
}

// noColumns says what a file lacks whose first row names no column of addresses.
func noColumns(heading []string, known fieldSet, file string) error {
	for _, h := range heading {
		if strings.Contains(h, "@") {
			return unusable("columns", fmt.Sprintf("The first row of %s is a person already; it must name the columns.", file),
				"Put a first row above it with the names of the columns: "+known.usage+".")
		}
	}
	return unusable("columns", fmt.Sprintf("%s has no column with e-mail addresses; its columns are: %s.", file, quoteList(heading)),
		"Let the first row name the columns: "+known.usage+".")
}
