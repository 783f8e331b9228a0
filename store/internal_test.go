package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"postern/crm"
	"postern/mail"
)

func TestFold(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"  Hello, World!  ":         "hello world",
		"Ann.Lee@acme.example":      "ann lee acme example",
		"Émile Œuvre ÅNGSTRÖM":      "emile œuvre angstrom",
		"東京都 Tokyo":                 "東 京 都 tokyo",
		"한국 ｶﾀ":                     "한 국 カ タ",
		"a\x00b\xffc":               "a b c",
		"3.14 R2-D2":                "3 14 r2 d2",
		strings.Repeat("x", 100):    strings.Repeat("x", longestWord),
		"\u200b\u00a0'; drop table": "drop table",
	} {
		if got := fold(text, len(text)); got != want {
			t.Errorf("fold(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestParseQuery(t *testing.T) {
	for text, want := range map[string][2]string{
		"offer":                 {`"offer" *`, `('offer':*)`},
		"offer ":                {`"offer" *`, `('offer':*)`},
		"the offer":             {`"the" AND "offer" *`, `('the') & ('offer':*)`},
		`"the offer"`:           {`"the offer"`, `('the' <-> 'offer')`},
		`"the offer`:            {`"the offer"`, `('the' <-> 'offer')`},
		"from:cyn@client price": {`sender : "cyn client" AND "price" *`, `('cyn':B <-> 'client':B) & ('price':*)`},
		`to:"Ann Lee" x`:        {`recipient : "ann lee" AND "x" *`, `('ann':C <-> 'lee':C) & ('x':*)`},
		"FROM:cyn":              {`sender : "cyn" *`, `('cyn':*B)`},
		"a* OR (b)":             {`"a" AND "or" AND "b" *`, `('a') & ('or') & ('b':*)`},
		"東京":                    {`"東 京" *`, `('東' <-> '京':*)`},
		`!! "" from:`:           {``, ``},
	} {
		q := parseQuery(text)
		if got := [2]string{q.fts5(), q.tsquery()}; got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestPreview(t *testing.T) {
	if got := preview("  Dear\r\n\tAnn,\n\nyours "); got != "Dear Ann, yours" {
		t.Errorf("%q", got)
	}
	if got := preview(strings.Repeat("ä", 5000)); len(got) > 210 || !strings.HasSuffix(got, "ä…") {
		t.Errorf("%q", got)
	}
}

func TestFullDisk(t *testing.T) {
	st, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var pages int
	if err := st.db.write.QueryRow("pragma page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		t.Helper()
		if _, err := st.db.write.Exec(fmt.Sprintf("pragma max_page_count = %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 2)
	var list []crm.Contact
	for i := range 500 {
		list = append(list, crm.Contact{Name: fmt.Sprint("Contact ", i), Addresses: []mail.Address{mail.Address(fmt.Sprintf("c%d@client.example", i))}})
	}
	org := st.Org(1)
	_, err = org.SaveContacts(t.Context(), list)
	fault, ok := errors.AsType[*crm.Fault](err)
	if !ok || fault.Code != "disk-full" || fault.Verdict != crm.Retry || fault.Scope != crm.OrgScope || fault.Advice == "" {
		t.Fatalf("saving to a full disk: %v", err)
	}
	if _, total, err := org.Contacts(t.Context(), ListQuery{}); err != nil || total != 0 {
		t.Errorf("%d contacts were half saved, %v", total, err)
	}
	limit(1 << 20)
	if saved, err := org.SaveContacts(t.Context(), list); err != nil || saved.New != 500 {
		t.Errorf("after room was made: %+v, %v", saved, err)
	}
}
