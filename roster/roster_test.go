package roster_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"postern/crm"
	"postern/mail"
	"postern/roster"
)

func contact(name, company, title string, addresses ...mail.Address) crm.Contact {
	return crm.Contact{Name: name, Company: company, Title: title, Addresses: addresses}
}

func mustContacts(t *testing.T, file string) *roster.File[crm.Contact] {
	t.Helper()
	f, err := roster.Contacts(strings.NewReader(file), "people.csv")
	if err != nil {
		t.Fatalf("Contacts: %v", err)
	}
	return f
}

func TestContactsAreFoundByTheirColumns(t *testing.T) {
	ann := contact("Ann Berg", "Acme", "Buyer", "ann@acme.example", "a.berg@acme.example")
	for name, file := range map[string]string{
		"plain":               "name,company,title,email\nAnn Berg,Acme,Buyer,ann@acme.example;a.berg@acme.example\n",
		"other order":         "EMAILS , Title,COMPANY,Full Name\nann@acme.example a.berg@acme.example,Buyer,Acme,Ann Berg\n",
		"semicolons":          "Name;Account Name;Job Title;E-Mail\r\nAnn Berg;Acme;Buyer;ann@acme.example,a.berg@acme.example\r\n",
		"tabs":                "Name\tAccount\tPosition\tEmail\tOther Email\nAnn Berg\tAcme\tBuyer\tann@acme.example\ta.berg@acme.example\n",
		"Outlook":             "\"Title\",\"First Name\",\"Last Name\",\"Company\",\"Job Title\",\"E-mail Address\",\"E-mail Type\",\"E-mail 2 Address\"\n\"Ms\",\"Ann\",\"Berg\",\"Acme\",\"Buyer\",\"ann@acme.example\",\"SMTP\",\"a.berg@acme.example\"\n",
		"Google":              "First Name,Middle Name,Last Name,Organization Name,Organization Title,E-mail 1 - Label,E-mail 1 - Value\nAnn,,Berg,Acme,Buyer,* Work,ann@acme.example ::: a.berg@acme.example\n",
		"separator declared":  "sep=;\nname;company;title;email\nAnn Berg;Acme;Buyer;\"ann@acme.example; a.berg@acme.example\"\n",
		"old line ends":       "name,company,title,email\rAnn Berg,Acme,Buyer,ann@acme.example;a.berg@acme.example\r",
		"byte order mark":     "\ufeffname,company,title,email\nAnn Berg,Acme,Buyer,ann@acme.example;a.berg@acme.example",
		"cell of two lines":   "name,company,title,email\n\"Ann\nBerg\",Acme,Buyer,\"ann@acme.example\na.berg@acme.example\"\n",
		"named address":       "name,company,title,email,email 2\nAnn Berg,Acme,Buyer,Ann Berg <ANN@acme.example>,mailto:a.berg@ACME.example\n",
		"hard blanks":         "name,company,title,email\nAnn\u00a0Berg,Acme,Buyer,\u00a0ann@acme.example;a.berg@acme.example;\n",
		"blanks round quotes": "name, company, title, \"email\"\n\"Ann Berg\" , \"Acme\" ,Buyer, \"ann@acme.example,a.berg@acme.example\" \n",
		"blank rows":          "\n\nname,company,title,email\n\n,,,\nAnn Berg,Acme,Buyer,ann@acme.example;a.berg@acme.example\n\n",
		"UTF-16, little":      utf16File(binary.LittleEndian, "\ufeffname\tcompany\ttitle\temail\r\nAnn Berg\tAcme\tBuyer\tann@acme.example;a.berg@acme.example\r\n"),
		"UTF-16, big":         utf16File(binary.BigEndian, "\ufeffname,company,title,email\nAnn Berg,Acme,Buyer,ann@acme.example;a.berg@acme.example\n"),
		"UTF-16 without mark": utf16File(binary.LittleEndian, "name,company,title,email\nAnn Berg,Acme,Buyer,ann@acme.example;a.berg@acme.example\n"),
	} {
		t.Run(name, func(t *testing.T) {
			f := mustContacts(t, file)
			if diff := cmp.Diff([]crm.Contact{ann}, f.People); diff != "" {
				t.Errorf("people (-want +got):\n%s", diff)
			}
			if len(f.Bad) > 0 {
				t.Errorf("bad rows: %v", f.Bad)
			}
		})
	}
}

func utf16File(order binary.AppendByteOrder, s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

func TestBadRowsAreNamedAndTheOthersStayGood(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, c := range []struct {
		name, file string
		good       []string // names
		bad        []roster.RowError
	}{
		{"not an address", "name,E-mail\nAnn,ann@acme.example\nBob,bob.acme.example\nCid,cid@acme.example\n", []string{"Ann", "Cid"},
			[]roster.RowError{{Row: 3, Column: "E-mail", Value: "bob.acme.example", Code: "bad-address"}}},
		{"one bad address of two", "name,email\nAnn,ann@acme.example;ann@\nBob,bob@acme.example\n", []string{"Bob"},
			[]roster.RowError{{Row: 2, Column: "email", Value: "ann@", Code: "bad-address"}}},
		{"no address", "name,email\nAnn,\nBob,bob@acme.example\nCid\n", []string{"Bob"},
			[]roster.RowError{{Row: 2, Column: "email", Code: "no-address"}, {Row: 4, Column: "email", Code: "no-address"}}},
		{"two columns bad", "name,email\nA\x01nn,ann\n", nil,
			[]roster.RowError{{Row: 2, Column: "email", Value: "ann", Code: "bad-address"}, {Row: 2, Column: "name", Value: "A\ufffdnn", Code: "control-character"}}},
		{"NUL", "name,email\nAnn\x00,ann@acme.example\nBob,bob@acme.example\n", []string{"Bob"},
			[]roster.RowError{{Row: 2, Column: "name", Value: "Ann\ufffd", Code: "control-character"}}},
		{"comma without quotes", "name,company,email\nAnn,Acme, Inc.,ann@acme.example\nBob,Acme,bob@acme.example\n", []string{"Bob"},
			[]roster.RowError{{Row: 2, Value: "ann@acme.example", Code: "extra-cells"}, {Row: 2, Column: "email", Value: "Inc.", Code: "bad-address"}}},
		{"quotation without end", "name,email\nAnn,ann@acme.example\n\"Bob,bob@acme.example\nCid,cid@acme.example\nDan,dan@acme.example\n", []string{"Ann", "Cid", "Dan"},
			[]roster.RowError{{Row: 3, Value: `"Bob,bob@acme.example`, Code: "broken-quotes"}}},
		{"quotation out of place", "name,email\n\"Ann \"Annie\" Berg\",ann@acme.example\n\"Bob\",\"bob@acme.example\"\n", []string{"Bob"},
			[]roster.RowError{{Row: 2, Value: `"Ann "Annie" Berg",ann@acme.example`, Code: "broken-quotes"}}},
		{"long name", "name,email\n" + long[:600] + ",ann@acme.example\nBob,bob@acme.example\n", []string{"Bob"},
			[]roster.RowError{{Row: 2, Column: "name", Value: long[:60] + "…", Code: "too-long"}}},
		{"long line", "name,email\n" + long + ",ann@acme.example\nBob,bob@acme.example\n", []string{"Bob"},
			[]roster.RowError{{Row: 2, Value: long[:60] + "…", Code: "too-long"}}},
		{"rows after a cell of two lines", "name,email\n\"Ann\nBerg\",ann@acme.example\nBob,bob\n", []string{"Ann Berg"},
			[]roster.RowError{{Row: 3, Column: "email", Value: "bob", Code: "bad-address"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := mustContacts(t, c.file)
			var good []string
			for _, p := range f.People {
				good = append(good, p.Name)
			}
			if diff := cmp.Diff(c.good, good); diff != "" {
				t.Errorf("good rows (-want +got):\n%s", diff)
			}
			checkBad(t, c.bad, f.Bad)
		})
	}
}

// checkBad compares all but the words, which there must be.
func checkBad(t *testing.T, want, got []roster.RowError) {
	t.Helper()
	var bare []roster.RowError
	for _, e := range got {
		if e.Message == "" {
			t.Errorf("%v has no message", e)
		}
		e.Message = ""
		bare = append(bare, e)
	}
	if diff := cmp.Diff(want, bare); diff != "" {
		t.Errorf("bad rows (-want +got):\n%s", diff)
	}
}

func TestAContactWithoutANameIsCalledByItsAddress(t *testing.T) {
	f := mustContacts(t, "email\nann@b\u00fccher.example\n")
	if diff := cmp.Diff([]crm.Contact{contact("ann@b\u00fccher.example", "", "", "ann@xn--bcher-kva.example")}, f.People); diff != "" {
		t.Errorf("people (-want +got):\n%s", diff)
	}
}

func TestWhatIsGuessedOrLeftOutIsTold(t *testing.T) {
	f := mustContacts(t, "name,Shoe Size,email,Birthday\nJ\xfcrgen,43,j@acme.example,1970-01-01\n")
	if got := f.People[0].Name; got != "Jürgen" {
		t.Errorf("name = %q", got)
	}
	notes := strings.Join(f.Notes, "\n")
	for _, want := range []string{"Shoe Size, Birthday", "1 lines", "Windows-1252"} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes %q do not tell %q", notes, want)
		}
	}
}

func TestFileOfNoUse(t *testing.T) {
	for _, c := range []struct{ name, file, code, says string }{
		{"empty", "", "people-file-empty", "people.csv"},
		{"blank", "\ufeff\n \n\n", "people-file-empty", "people.csv"},
		{"only separators", "sep=;\n;;\n", "people-file-empty", "people.csv"},
		{"workbook", "PK\x03\x04\x14\x00\x06\x00", "people-file-workbook", "people.csv"},
		{"old workbook", "\xd0\xcf\x11\xe0\xa1\xb1", "people-file-workbook", "people.csv"},
		{"other columns", "colour,size\nred,4\n", "people-file-columns", "colour, size"},
		{"no heading", "Ann,ann@acme.example\nBob,bob@acme.example\n", "people-file-columns", "is a person already"},
		{"broken heading", "\"name,email\nAnn,ann@acme.example\n", "people-file-heading", "quotation mark"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := roster.Contacts(strings.NewReader(c.file), "people.csv")
			f, ok := errors.AsType[*crm.Fault](err)
			if !ok {
				t.Fatalf("err = %v, want a fault", err)
			}
			if f.Code != c.code || !strings.Contains(f.Message, c.says) || f.Advice == "" {
				t.Errorf("fault = %q %q, advice %q", f.Code, f.Message, f.Advice)
			}
		})
	}
}

func TestReadErrorIsNoEndOfFile(t *testing.T) {
	r := io.MultiReader(strings.NewReader("name,email\n"+strings.Repeat("Ann,ann@acme.example\n", 10_000)), iotest.ErrReader(os.ErrPermission))
	_, err := roster.Contacts(r, "people.csv")
	if !errors.Is(err, os.ErrPermission) || crm.AsFault(err).Code != "people-file-unreadable" {
		t.Errorf("err = %v", err)
	}
}

func TestUsers(t *testing.T) {
	f, err := roster.Users(strings.NewReader(`Name,Email,Admin,Active
Ann,ann@acme.example;sales@acme.example,yes,
Bob,bob@acme.example,no,TRUE
Cid,SALES@acme.example,,
Dan,dan@acme.example,maybe,
Eve,bob@acme.example,0,no
Fay,dan@acme.example,1,1
`), "users.csv")
	if err != nil {
		t.Fatal(err)
	}
	want := []crm.User{
		{Name: "Ann", Addresses: []mail.Address{"ann@acme.example", "sales@acme.example"}, Admin: true, Active: true},
		{Name: "Bob", Addresses: []mail.Address{"bob@acme.example"}, Active: true},
		{Name: "Eve", Addresses: []mail.Address{"bob@acme.example"}},
		{Name: "Fay", Addresses: []mail.Address{"dan@acme.example"}, Admin: true, Active: true},
	}
	if diff := cmp.Diff(want, f.People); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"active", "admin", "email", "name"}, f.Columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{2, 3, 6, 7}, f.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	checkBad(t, []roster.RowError{
		{Row: 4, Column: "Email", Value: "sales@acme.example", Code: "duplicate-address"},
		{Row: 5, Column: "Admin", Value: "maybe", Code: "bad-value"},
	}, f.Bad)
	if got, want := f.Bad[0].Error(), `row 4, column Email, "sales@acme.example": the user in row 2 has this address already (duplicate-address)`; got != want {
		t.Errorf("Error() = %s, want %s", got, want)
	}
}

func TestUsersAreNotReadFromCards(t *testing.T) {
	_, err := roster.Users(strings.NewReader("BEGIN:VCARD\r\nEND:VCARD\r\n"), "users.vcf")
	if f, ok := errors.AsType[*crm.Fault](err); !ok || f.Code != "people-file-vcard" {
		t.Errorf("err = %v", err)
	}
}

func TestRefuseMovesAPersonToTheBadRows(t *testing.T) {
	f := mustContacts(t, "name,email\nAnn,\nBob,bob@acme.example\nCid,cid@acme.example\nDan,\n")
	f.Refuse(1, roster.RowError{Code: "address-taken", Message: "belongs to Eve"})
	var rows []int
	for _, e := range f.Bad {
		rows = append(rows, e.Row)
	}
	if diff := cmp.Diff([]int{2, 4, 5}, rows); diff != "" {
		t.Errorf("bad rows (-want +got):\n%s", diff)
	}
	if len(f.People) != 1 || f.People[0].Name != "Bob" || len(f.Rows) != 1 || f.Rows[0] != 3 || f.BadRows() != 3 {
		t.Errorf("left: %v in rows %v, %d bad rows", f.People, f.Rows, f.BadRows())
	}
}

// The file is longer than any buffer, and comes through a pipe that holds none of it.
func TestManyRowsAreReadAsTheyStream(t *testing.T) {
	const rows = 200_000
	r, w := io.Pipe()
	go func() {
		fmt.Fprint(w, "name,email\n")
		block := strings.Repeat("Ann,ann\n", 1000) // all bad
		for range rows / 1000 {
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
		w.Close()
	}()
	f, err := roster.Contacts(r, "many.csv")
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	if got := f.BadRows(); got != rows || f.Bad[rows-1].Row != rows+1 {
		t.Errorf("%d bad rows, the last is row %d; want %d and %d", got, f.Bad[len(f.Bad)-1].Row, rows, rows+1)
	}
}

func ExampleContacts() {
	f, err := roster.Contacts(strings.NewReader(`First name;Last name;Company;E-mail
Catherine;Whitlock;Northmoor Brewing Co.;catherine.whitlock@northmoor.example
Daniel;Osei;Northmoor Brewing Co.;daniel.osei
`), "contacts.csv")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range f.People {
		fmt.Println(c.Name, c.Addresses)
	}
	for _, bad := range f.Bad {
		fmt.Println(bad)
	}
	// Output:
	// Catherine Whitlock [catherine.whitlock@northmoor.example]
	// row 3, column E-mail, "daniel.osei": no @ in it: a name, not an address (bad-address)
}

func FuzzContacts(f *testing.F) {
	for _, s := range []string{
		"name,email\nAnn,ann@acme.example\n",
		"\"na\"\"me\";email;\"x\ny\"\n\"Ann;a@b.example\n\"B\"\"\";b@b.example;\"\n",
		"sep=\t\nemail\tname\r\n\x00\t\xff\r\n",
		"\xff\xfee\x00m\x00a\x00i\x00l\x00\n\x00a\x00@\x00b\x00\n\x00",
		"BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:B=C3=\r\n=B6hm;J\r\nEMAIL:j@b.example\r\nEND:VCARD\r\n",
		"begin:vcard\nitem1.EMAIL;X=\":\":a@b.example\n c\nFN:A\\, B\\n\nEND:VCARD\nBEGIN:VCARD\nBEGIN:VCARD\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		got, err := roster.Contacts(strings.NewReader(file), "fuzz")
		if err != nil {
			if _, ok := errors.AsType[*crm.Fault](err); !ok {
				t.Errorf("%v is no fault", err)
			}
			return
		}
		if len(got.People) != len(got.Rows) {
			t.Errorf("%d people in %d rows", len(got.People), len(got.Rows))
		}
		for i, c := range got.People {
			if c.Name == "" || len(c.Addresses) == 0 || strings.ContainsAny(c.Name+c.Company+c.Title, "\x00\n\r") {
				t.Errorf("row %d gives %+v", got.Rows[i], c)
			}
			for _, a := range c.Addresses {
				if again, err := mail.ParseAddress(string(a)); err != nil || again != a {
					t.Errorf("address %q reads as %q, %v", a, again, err)
				}
			}
		}
		for _, e := range got.Bad {
			if e.Row < 1 || e.Code == "" || e.Message == "" || strings.ContainsAny(e.Error(), "\x00\n\r\x1b") {
				t.Errorf("bad row %+v", e)
			}
		}
	})
}
