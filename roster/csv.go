package roster

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"postern/crm"
	"postern/mail"
)

// maxRowLines bounds the lines of one row: a cell may have line ends in quotes, but where
// a quote is missing its end, the rest of the file must not be taken for the cell.
const maxRowLines = 100

// readCSV reads a person from each row below the heading.
func readCSV[T crm.Contact | crm.User](in *lines, known fieldSet, person func(*row) T) (*File[T], error) {
	t := &table{in: in}
	heading, err := t.heading()
	if err != nil {
		return nil, err
	}
	cols, notes, err := findColumns(heading, known, in.name)
	if err != nil {
		return nil, err
	}
	cols.comma = t.comma
	f := &File[T]{Columns: cols.names()}
	for {
		cells, bad, ok := t.next()
		if !ok {
			break
		}
		if bad != nil {
			f.Bad = append(f.Bad, *bad)
			continue
		}
		r := &row{n: t.row, cells: cells, cols: cols}
		if r.blank() {
			continue
		}
		r.noExtra()
		f.add(person(r), r.n, r.bad)
	}
	if in.err != nil {
		return nil, unreadable(in.name, in.err)
	}
	f.Notes = append(notes, in.notes()...)
	return f, nil
}

// A table reads rows of cells. A broken row ends where its first line ends.
type table struct {
	in    *lines
	comma byte
	row   int // number of the row read last
}

// heading returns the first row that is not blank, and finds out by it what separates cells.
func (t *table) heading() ([]string, error) {
	for {
		ln, ok := t.in.next()
		if !ok && t.in.err != nil {
			return nil, unreadable(t.in.name, t.in.err)
		}
		if !ok {
			return nil, unusable("empty", t.in.name+" is empty.", "Choose a file whose first row names the columns.")
		}
		// Excel writes and obeys a first line "sep=;", and does not count it as a row.
		if sep, found := strings.CutPrefix(strings.ToLower(ln.raw), "sep="); found && len(sep) == 1 {
			t.comma = sep[0]
			continue
		}
		if !ln.long && strings.Trim(ln.raw, " \t,;") == "" {
			t.row++
			continue
		}
		t.in.giveBack(ln)
		if t.comma == 0 {
			t.comma = delimiter(ln.raw)
		}
		cells, bad, _ := t.next()
		if bad != nil {
			return nil, unusable("heading", fmt.Sprintf("The heading of %s cannot be read: %s.", t.in.name, bad.Message), "Let the first row hold the names of the columns, and nothing else.")
		}
		return cells, nil
	}
}

// delimiter returns what separates the cells of a heading.
func delimiter(heading string) byte {
	best, most := byte(','), 0
	for _, c := range []byte{',', ';', '\t'} {
		n, quoted := 0, false
		for i := range len(heading) {
			switch {
			case heading[i] == '"':
				quoted = !quoted
			case heading[i] == c && !quoted:
				n++
			}
		}
		if n > most {
			best, most = c, n
		}
	}
	return best
}

// next returns the cells of the next row, or what is wrong with it.
func (t *table) next() (cells []string, bad *RowError, ok bool) {
	first, ok := t.in.next()
	if !ok {
		return nil, nil, false
	}
	t.row++
	if first.long {
		return nil, &RowError{Row: t.row, Value: show(strings.ToValidUTF8(first.raw, "")), Code: "too-long", Message: fmt.Sprintf("the line is longer than %d characters", maxLine)}, true
	}
	var taken []line // after the first
	size := len(first.raw)
	c := cutter{comma: t.comma}
	c.line(t.in.text(first.raw))
	for c.open {
		ln, ok := t.in.next()
		if ok {
			taken = append(taken, ln)
			size += len(ln.raw)
		}
		if !ok || ln.long || len(taken) == maxRowLines || size > maxLine {
			c.open, c.broken = false, true
			break
		}
		c.cell.WriteByte('\n')
		c.line(t.in.text(ln.raw))
	}
	if c.broken {
		t.in.giveBack(taken...)
		return nil, &RowError{Row: t.row, Value: show(t.in.text(first.raw)), Code: "broken-quotes",
			Message: `a quotation mark is out of place: a cell in quotes ends with one, and one inside is written ""`}, true
	}
	return c.cells, nil, true
}

// A cutter cuts a row into cells (RFC 4180). Blanks around quotes, which people write, do
// not count. A quotation mark inside a cell that does not begin with one stands for itself.
type cutter struct {
	comma  byte
	cells  []string
	cell   strings.Builder
	open   bool // inside quotes at the end of the line: the row goes on
	broken bool
}

// line cuts the next line of the row. It ends early when the quotes are broken.
func (c *cutter) line(s string) {
	fresh := !c.open // nothing but blanks in the cell so far
	for i := 0; i < len(s); i++ {
		b := s[i]
		switch {
		case c.open && b != '"':
			c.cell.WriteByte(b)
		case c.open && i+1 < len(s) && s[i+1] == '"':
			c.cell.WriteByte('"')
			i++
		case c.open:
			c.open = false
			rest := strings.TrimLeft(s[i+1:], " ")
			if rest != "" && rest[0] != c.comma {
				c.broken = true
				return
			}
			i = len(s) - len(rest) - 1
		case b == '"' && fresh:
			c.open, fresh = true, false
			c.cell.Reset()
		case b == c.comma:
			c.end()
			fresh = true
		default:
			c.cell.WriteByte(b)
			fresh = fresh && b == ' '
		}
	}
	if !c.open {
		c.end()
	}
}

func (c *cutter) end() {
	c.cells = append(c.cells, c.cell.String())
	c.cell.Reset()
}

// A row gives the cells by what they mean, and gathers what is wrong with them.
type row struct {
	n     int
	cells []string
	cols  *columns
	bad   []RowError
}

func (r *row) blank() bool {
	for _, c := range r.cells {
		if strings.TrimSpace(c) != "" {
			return false
		}
	}
	return true
}

// noExtra finds cells beyond the heading, as a delimiter in a name without quotes makes them.
func (r *row) noExtra() {
	for i := len(r.cols.heading); i < len(r.cells); i++ {
		if v := strings.TrimSpace(r.cells[i]); v != "" {
			r.bad = append(r.bad, RowError{Row: r.n, Value: show(v), Code: "extra-cells",
				Message: fmt.Sprintf("%d cells, but the heading has %d columns: a cell with a %q in it needs quotes", len(r.cells), len(r.cols.heading), r.cols.comma)})
			return
		}
	}
}

// cell returns what stands in the i-th column; rows may end early.
func (r *row) cell(i int) string {
	if i < len(r.cells) {
		return r.cells[i]
	}
	return ""
}

// wrong notes what is wrong with the first column of that meaning.
func (r *row) wrong(f field, value, code, message string) {
	r.wrongAt(r.cols.at[f][0], value, code, message)
}

func (r *row) wrongAt(column int, value, code, message string) {
	r.bad = append(r.bad, RowError{Row: r.n, Column: show(r.cols.heading[column]), Value: show(value), Code: code, Message: message})
}

// text returns the text in the column of that meaning, "" when there is no such column.
func (r *row) text(f field) string {
	at := r.cols.at[f]
	if len(at) == 0 {
		return ""
	}
	s, code, message := clean(r.cell(at[0]))
	if code != "" {
		r.wrongAt(at[0], r.cell(at[0]), code, message)
	}
	return s
}

// name is in one column or in several.
func (r *row) name() string {
	if s := r.text(name); s != "" {
		return s
	}
	return strings.Join(strings.Fields(r.text(given)+" "+r.text(middle)+" "+r.text(family)), " ")
}

// addresses returns all addresses of the row, of which there must be one.
func (r *row) addresses() []mail.Address {
	var list []mail.Address
	before := len(r.bad)
	for _, i := range r.cols.at[email] {
		var bad string
		var err error
		list, bad, err = addAddresses(list, strings.TrimSpace(r.cell(i)))
		if err != nil {
			r.wrongAt(i, bad, "bad-address", err.Error())
		}
	}
	if len(list) == 0 && len(r.bad) == before {
		r.wrong(email, "", "no-address", "no e-mail address")
	}
	return list
}

// flag reads yes or no.
func (r *row) flag(f field, unset bool) bool {
	s := r.text(f)
	switch strings.ToLower(s) {
	case "":
		return unset
	case "yes", "y", "true", "t", "1", "x", "on", "active", "enabled", "admin":
		return true
	case "no", "n", "false", "f", "0", "-", "off", "inactive", "disabled":
		return false
	}
	r.wrong(f, s, "bad-value", "neither yes nor no")
	return unset
}

func quoteList(names []string) string {
	const most = 12
	var b strings.Builder
	for i, s := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if s = show(s); utf8.RuneCountInString(s) == 0 {
			s = "(no name)"
		}
		b.WriteString(s)
	}
	return b.String()
}
