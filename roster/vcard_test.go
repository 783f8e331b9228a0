package roster_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/crm"
	"postern/roster"
)

func TestCardsOfAllVersions(t *testing.T) {
	juergen := contact("Jürgen Böhm", "Wasserwerk, Ebertal", "Technischer Leiter", "j.boehm@ebertal.example", "boehm@privat.example")
	for name, file := range map[string]string{
		"4.0": "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Jürgen Böhm\r\nN:Böhm;Jürgen;;Dr.;\r\nORG:Wasserwerk\\, Ebertal;Einkauf\r\nTITLE:Technischer Leiter\r\n" +
			"EMAIL;PREF=1;TYPE=work:j.boehm@ebertal.example\r\nEMAIL;TYPE=\"a:b;c\":boehm@privat.example\r\nEND:VCARD\r\n",
		"3.0, folded, as Apple writes it": "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Böhm;Jürgen;;;\r\nFN:Jürgen B\r\n öhm\r\nORG:Wasserwerk\\, Ebertal;\r\nTITLE:Technischer\r\n  Leiter\r\n" +
			"PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRg\r\n ABAQAAAQABAAD\r\nitem1.EMAIL;type=INTERNET;type=pref:j.boehm@ebertal.\r\n example\r\nitem1.X-ABLabel:work\r\nEMAIL:boehm@privat.example\r\nEND:VCARD\r\n",
		"2.1, as phones write it": "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:B=C3=B6hm;J=C3=BC=\r\nrgen;;;\r\nORG;ENCODING=QUOTED-PRINTABLE:Wasserwerk=2C Ebertal\r\nTITLE:Technischer\r\n Leiter\r\n" +
			"EMAIL;INTERNET:j.boehm@ebertal.example\r\nEMAIL;HOME:boehm@privat.example\r\nPHOTO;BASE64:\r\n AAAA\r\n\r\nEND:VCARD\r\n",
		"2.1, another character set": "BEGIN:VCARD\nVERSION:2.1\nFN;CHARSET=ISO-8859-15:J\xfcrgen B\xf6hm\nORG:Wasserwerk, Ebertal\nTITLE:Technischer Leiter\nEMAIL:j.boehm@ebertal.example\nEMAIL:boehm@privat.example\nEND:VCARD\n",
		"no FN":                      "begin:vcard\nVersion:3.0\nn:Böhm;Jürgen\norg:Wasserwerk\\, Ebertal\ntitle:Technischer Leiter\nemail:j.boehm@ebertal.example,boehm@privat.example\nend:vcard\n",
	} {
		t.Run(name, func(t *testing.T) {
			f, err := roster.Contacts(strings.NewReader(file), "people.vcf")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]crm.Contact{juergen}, f.People); diff != "" {
				t.Errorf("people (-want +got):\n%s", diff)
			}
			checkBad(t, nil, f.Bad)
		})
	}
}

func TestBadCardsAreNamedByLine(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	f, err := roster.Contacts(strings.NewReader("BEGIN:VCARD\n"+ // 1
		"FN:Ann\nEMAIL:ann@acme.example\nEND:VCARD\n"+
		"BEGIN:VCARD\nFN:Bob\nEMAIL:bob.acme.example\nEND:VCARD\n"+ // 5
		"BEGIN:VCARD\nFN:Cid\nEND:VCARD\n"+ // 9
		"stray\n\n"+ // 12
		"BEGIN:VCARD\nFN:Dan\nEMAIL:dan@acme.example\n"+ // 14
		"BEGIN:VCARD\nFN:Eve\nPHOTO:"+long+"\nEMAIL:eve@acme.example\nEND:VCARD\n"+ // 17
		"BEGIN:VCARD\nKIND:group\nFN:All\nMEMBER:urn:uuid:1\nEND:VCARD\n"+ // 22
		"BEGIN:VCARD\nFN:Fay\nEMAIL:"+long+"\nEND:VCARD\n"+ // 27
		"BEGIN:VCARD\nFN:Guy\nEMAIL:guy@acme.example\n"), "people.vcf") // 31
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]crm.Contact{contact("Ann", "", "", "ann@acme.example"), contact("Eve", "", "", "eve@acme.example")}, f.People); diff != "" {
		t.Errorf("people (-want +got):\n%s", diff)
	}
	checkBad(t, []roster.RowError{
		{Row: 7, Column: "EMAIL", Value: "bob.acme.example", Code: "bad-address"},
		{Row: 9, Column: "EMAIL", Value: "Cid", Code: "no-address"},
		{Row: 12, Value: "stray", Code: "broken-card"},
		{Row: 14, Code: "broken-card"},
		{Row: 29, Column: "EMAIL", Code: "too-long"},
		{Row: 31, Code: "broken-card"},
	}, f.Bad)
	if want := []string{"1 groups were left out; only people are read."}; !cmp.Equal(want, f.Notes) {
		t.Errorf("notes = %q, want %q", f.Notes, want)
	}
}
