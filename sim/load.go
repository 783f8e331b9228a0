package sim

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/mail"
)

// A LoadError says why letters could not be loaded from a path.
type LoadError struct {
	Code    string // stable: letters-missing, letters-unreadable, letters-empty, letters-not-mail, letters-company
	Path    string
	Problem string // what is wrong, one sentence
	Advice  string // what to do, one sentence
	Err     error
}

func (e *LoadError) Error() string {
	return fmt.Sprintf("letters %s: %s %s (%s)", e.Path, e.Problem, e.Advice, e.Code)
}

func (e *LoadError) Unwrap() error { return e.Err }

const lettersAdvice = "Name an .eml file, a folder of them, a Maildir or an mbox (also .gz or .zst)."

// Loaded tells what a path of letters was made into.
type Loaded struct {
	Company  string   // the domain whose addresses are the users
	Users    []Person // each has a mailbox
	Contacts []Person // outside correspondents met at least twice
	Messages int
	Items    int          // copies laid into mailboxes
	Archive  mail.Address // the mailbox of letters that name no user; "" when there is none
	Skipped  []string     // files of a folder that are not mail
}

// Load fills the organization with real mail: an .eml file, a folder of such files, a
// Maildir or an mbox, each of them plain or packed by gzip or Zstandard. The company is
// the given domain or, when that is "", the domain met most often among To and Cc. Each
// of its addresses gets a mailbox: what a user sent lies in Sent Items, what a user
// received in the Inbox, and a letter that names no user in the mailbox archive@ of the
// company. Broken letters are laid, too: no letter is dropped. All errors are *LoadError.
func (x *Exchange) Load(path, company string) (*Loaded, error) {
	domain := ""
	if company != "" {
		var err error
		if domain, err = mail.NormalizeDomain(company); err != nil {
			return nil, &LoadError{"letters-company", path, err.Error() + ".", "Give the company's mail domain, such as company.example.", err}
		}
	}
	in := intake{x: x, people: census{index: map[mail.Address]int32{}, domains: map[string]int{}}}
	if err := in.read(path); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	if domain == "" {
		domain = in.people.company()
	}
	return in.lay(domain), nil
}

// An intake reads letters into the spool and remembers of each only where it lies and,
// by number, whom it names.
type intake struct {
	x       *Exchange
	people  census
	letters []intakeLetter
	skipped []string
}

type intakeLetter struct {
	letter
	senders, recipients []int32 // numbers of the census
}

func (in *intake) read(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &LoadError{"letters-missing", path, "There is no such file or folder.", lettersAdvice, err}
	}
	if err != nil {
		return unopened(path, err)
	}
	if info.IsDir() {
		err = in.folder(path)
	} else {
		err = in.file(path, true)
	}
	if err != nil {
		return err
	}
	if len(in.letters) == 0 {
		return &LoadError{"letters-empty", path, in.emptiness(), lettersAdvice, nil}
	}
	return nil
}

// emptiness says why there is no mail in a path.
func (in *intake) emptiness() string {
	if n := len(in.skipped); n > 0 {
		return fmt.Sprintf("There is no mail in it, only other files (%d, such as %s).", n, filepath.Base(in.skipped[0]))
	}
	return "There is no mail in it."
}

func unopened(path string, err error) error {
	why := err
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		why = p.Err
	}
	return &LoadError{"letters-unreadable", path, fmt.Sprintf("It cannot be opened: %v.", why), "Check the name and the access rights.", err}
}

// folder reads all letters below a folder, in the order of their names.
func (in *intake) folder(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return unopened(path, err)
		case entry.IsDir():
			if entry.Name() == "tmp" && isMaildir(filepath.Dir(path)) {
				return fs.SkipDir // letters still being written
			}
			return nil
		case !entry.Type().IsRegular():
			in.skipped = append(in.skipped, path)
			return nil
		}
		return in.file(path, false)
	})
}

func isMaildir(folder string) bool {
	info, err := os.Stat(filepath.Join(folder, "cur"))
	return err == nil && info.IsDir()
}

// file reads one file. In a folder, a file that is not mail is passed over and named in
// the summary; alone it is an error.
func (in *intake) file(path string, alone bool) error {
	f, err := os.Open(path)
	if err != nil {
		return unopened(path, err)
	}
	defer f.Close()
	r, done, err := decompress(f)
	if err != nil {
		return &LoadError{"letters-unreadable", path, "It cannot be unpacked.", "Check that the file is whole.", err}
	}
	defer done()
	head, short := r.Peek(16 << 10)
	if short != nil && !errors.Is(short, io.EOF) {
		return &LoadError{"letters-unreadable", path, "It cannot be read.", "Check that the file is whole.", short}
	}
	if alone && len(head) == 0 {
		return &LoadError{"letters-empty", path, "The file is empty.", lettersAdvice, nil}
	}
	switch {
	case namedLetter(path) && (!alone || anyField(head)):
		err = in.single(r)
	case bytes.HasPrefix(head, []byte("From ")):
		err = readMbox(r, in.take)
	case looksLikeMail(head):
		err = in.single(r)
	case alone:
		return &LoadError{"letters-not-mail", path, "It does not look like mail.", lettersAdvice, nil}
	default:
		in.skipped = append(in.skipped, path)
	}
	if err != nil {
		return &LoadError{"letters-unreadable", path, "It could be read in part only.", "Check that the file is whole.", err}
	}
	return nil
}

// namedLetter tells whether a file's name alone says that it is one letter, however
// broken: *.eml, packed or not, and whatever lies in cur or new of a Maildir.
func namedLetter(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	if strings.HasSuffix(name, ".eml") {
		return true
	}
	dir, place := filepath.Split(filepath.Dir(path))
	return (place == "cur" || place == "new") && isMaildir(dir)
}

// looksLikeMail tells whether a file begins with header fields, one of them an ordinary
// one of mail.
func looksLikeMail(head []byte) bool {
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return false
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		name, _, ok := bytes.Cut(line, []byte(":"))
		if !ok || bytes.ContainsAny(name, " \t") {
			return false
		}
		if usualField(name) {
			return true
		}
	}
	return false
}

func usualField(name []byte) bool {
	switch strings.ToLower(string(name)) {
	case "from", "to", "date", "subject", "received", "message-id", "mime-version", "return-path", "delivered-to", "content-type":
		return true
	}
	return false
}

// anyField tells whether there is an ordinary field of mail anywhere: so little is asked
// of a single file whose name says that it is a letter.
func anyField(head []byte) bool {
	for line := range bytes.Lines(head) {
		if name, _, ok := bytes.Cut(line, []byte(":")); ok && usualField(bytes.TrimSpace(name)) {
			return true
		}
	}
	return false
}

func (in *intake) single(r *bufio.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxLetter+1))
	if err != nil {
		return err
	}
	if len(raw) > maxLetter {
		return fmt.Errorf("a letter of more than %d bytes", maxLetter)
	}
	return in.take(raw)
}

// errEnough ends the reading when Options.MaxLetters have been taken.
var errEnough = errors.New("enough letters")

// take puts one letter into the spool and counts the people whom it names.
func (in *intake) take(raw []byte) error {
	if max := in.x.options.MaxLetters; max > 0 && len(in.letters) == max {
		return errEnough
	}
	if also := in.x.options.AlsoTo; also != "" {
		raw = append([]byte("To: "+string(also)+"\r\n"), raw...)
	}
	l, e, err := in.x.newLetter(raw)
	if err != nil {
		return err
	}
	in.letters = append(in.letters, intakeLetter{
		letter:     l,
		senders:    in.people.numbers(e.senders),
		recipients: in.people.numbers(e.recipients),
	})
	in.people.count(e)
	return nil
}

// lay makes the mailboxes and lays the letters into them, oldest first.
func (in *intake) lay(domain string) *Loaded {
	sum := &Loaded{Company: domain, Messages: len(in.letters), Skipped: in.skipped}
	for _, p := range in.people.sorted() {
		if p.Address.Domain() == domain {
			sum.Users = append(sum.Users, p.Person)
			in.x.AddMailbox(p.Person)
		} else if p.letters >= 2 {
			sum.Contacts = append(sum.Contacts, p.Person)
		}
	}
	slices.SortStableFunc(in.letters, func(a, b intakeLetter) int { return a.received.Compare(b.received) })
	for _, l := range in.letters {
		e := envelope{senders: in.people.named(l.senders), recipients: in.people.named(l.recipients)}
		in.x.mu.Lock()
		items := len(in.x.lay(l.letter, e))
		in.x.mu.Unlock()
		if items == 0 {
			sum.Archive = mail.Address("archive@" + domain)
			box := in.x.AddMailbox(Person{"Archive", sum.Archive})
			in.x.mu.Lock()
			box.roles[Inbox].put(l.letter, arrival{mail: true})
			in.x.mu.Unlock()
			items = 1
		}
		sum.Items += items
	}
	return sum
}
