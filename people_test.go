package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/mail"
	"postern/store"
)

// imported runs a command on a data folder of its own or the one given.
func imported(t *testing.T, data string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(append(args, "--data", data), &o, &e)
	return code, o.String(), e.String()
}

func peopleFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// people returns the names of all contacts and users in a data folder.
func people(t *testing.T, data string) (contacts, users []string) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	cs, _, err := st.Org(1).Contacts(t.Context(), store.ListQuery{})
	if err != nil {
		t.Fatal(err)
	}
	us, _, err := st.Org(1).Users(t.Context(), store.ListQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		contacts = append(contacts, c.Name)
	}
	for _, u := range us {
		users = append(users, u.Name)
	}
	return contacts, users
}

func wantNames(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

const someBad = "name,company,email\nAnn Archer,Acme,ann@acme.example\nBen Bad,Acme,ben.acme.example\nCleo Cole,Acme,cleo@acme.example\n"

func TestImportTakesTheGoodRowsAndNamesTheBad(t *testing.T) {
	data := t.TempDir()
	code, out, errOut := imported(t, data, "contacts", "import", peopleFile(t, someBad))
	if code != 1 || out != "imported 2 (2 new, 0 changed, 0 same); 1 rows not imported\n" {
		t.Errorf("exit %d, %q", code, out)
	}
	for _, want := range []string{"row 3, column email", `"ben.acme.example"`, "bad-address", "The good rows are in"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("%q is not told in %q", want, errOut)
		}
	}
	contacts, _ := people(t, data)
	wantNames(t, "contacts", contacts, "Ann Archer", "Cleo Cole")

	mended := strings.Replace(someBad, "ben.acme", "ben@acme", 1)
	code, out, errOut = imported(t, data, "contacts", "import", peopleFile(t, mended))
	if code != 0 || out != "imported 3 (1 new, 0 changed, 2 same); 0 rows not imported\n" || errOut != "" {
		t.Errorf("the mended file: exit %d, %q, %q", code, out, errOut)
	}
}

func TestImportOfAllOrNothing(t *testing.T) {
	data := t.TempDir()
	file := peopleFile(t, someBad)
	code, out, _ := imported(t, data, "contacts", "import", file, "--all-or-nothing")
	if code != 1 || out != "imported nothing; 1 rows are bad, 2 are good\n" {
		t.Errorf("exit %d, %q", code, out)
	}
	code, out, _ = imported(t, data, "contacts", "import", file, "--dry-run")
	if code != 1 || out != "would import 2; 1 rows cannot be imported; nothing was changed\n" {
		t.Errorf("dry run: exit %d, %q", code, out)
	}
	contacts, _ := people(t, data)
	wantNames(t, "contacts", contacts)
}

func TestImportOfAFileThatCannotBeRead(t *testing.T) {
	for name, path := range map[string]string{
		"people-file-unreadable": filepath.Join(t.TempDir(), "absent.csv"),
		"people-file-empty":      peopleFile(t, ""),
		"people-file-columns":    peopleFile(t, "colour,size\nred,4\n"),
	} {
		code, out, errOut := imported(t, t.TempDir(), "contacts", "import", path)
		if code != 1 || out != "" || !strings.Contains(errOut, name) || strings.Count(errOut, "\n") != 2 {
			t.Errorf("%s: exit %d, %q, %q; want the code, and a line of advice", name, code, out, errOut)
		}
	}
}

func TestImportOfAUserWithSomebodyElsesAddress(t *testing.T) {
	data := t.TempDir()
	code, _, errOut := imported(t, data, "users", "import", peopleFile(t,
		"name,email,admin\nUrsula,ursula@company.example,yes\nVictor,victor@company.example;sales@company.example,no\n"))
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	file := peopleFile(t, "name,email\nWilma,wilma@company.example\nUrsula,ursula@company.example;sales@company.example\nXaver,xaver@company.example\n")
	code, out, errOut := imported(t, data, "users", "import", file, "--all-or-nothing")
	if code != 1 || !strings.Contains(errOut, "row 3, column email") {
		t.Errorf("all or nothing: exit %d, %q, %q", code, out, errOut)
	}
	_, users := people(t, data)
	wantNames(t, "users", users, "Ursula", "Victor")

	code, out, errOut = imported(t, data, "users", "import", file)
	if code != 1 || out != "imported 2 (2 new, 0 changed, 0 same); 1 rows not imported\n" ||
		!strings.Contains(errOut, `row 3, column email, "sales@company.example": the address belongs to the user Victor (address-taken)`) {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
	_, users = people(t, data)
	wantNames(t, "users", users, "Ursula", "Victor", "Wilma", "Xaver")
}

func TestImportAddsToAContactAndTakesNothingAway(t *testing.T) {
	data := t.TempDir()
	for _, text := range []string{
		"name,company,title,email\nAnn Archer,Acme,Buyer,ann@acme.example\n",
		"name,title,email,email 2\nAnn Archer,Head Buyer,ann@acme.example,archer@acme.example\n",
	} {
		if code, _, errOut := imported(t, data, "contacts", "import", peopleFile(t, text)); code != 0 {
			t.Fatalf("exit %d: %s", code, errOut)
		}
	}
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	list, _, err := st.Org(1).Contacts(t.Context(), store.ListQuery{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d contacts, %v; want one", len(list), err)
	}
	if c := list[0]; c.Company != "Acme" || c.Title != "Head Buyer" || len(c.Addresses) != 2 {
		t.Errorf("the contact is %+v; want the company kept, the title new, both addresses", c.Contact)
	}
}

func TestImportWithoutAdminColumnKeepsTheAdmins(t *testing.T) {
	data := t.TempDir()
	for _, text := range []string{
		"name,email,admin\nUrsula,ursula@company.example,yes\n",
		"name,email\nUrsula User,ursula@company.example\nVictor,victor@company.example\n",
	} {
		if code, _, errOut := imported(t, data, "users", "import", peopleFile(t, text)); code != 0 {
			t.Fatalf("exit %d: %s", code, errOut)
		}
	}
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for address, admin := range map[mail.Address]bool{"ursula@company.example": true, "victor@company.example": false} {
		u, _, err := st.Org(1).SignIn(t.Context(), address)
		if errors.Is(err, store.ErrNotFound) || err == nil && u.Admin != admin {
			t.Errorf("%s: %+v, %v; want admin %v", address, u, err, admin)
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
