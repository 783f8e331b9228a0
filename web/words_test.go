package web

import (
	"strings"
	"testing"
	"time"

	"postern/crm"
)

func TestSplitAdvice(t *testing.T) {
	for advice, want := range map[string]string{
		"":                                     "",
		"Nothing to do.":                       "Nothing to do.",
		"Check Get-CASMailbox A | X.":          "Check Get-CASMailbox A | X.",
		"In the shell: Enable-It.":             "In the shell: Enable-It.",
		"New-Role -User \"svc\"":               "$ New-Role -User \"svc\"",
		"First:\nSet-It -On:$true\nThen wait.": "First:|$ Set-It -On:$true|Then wait.",
		"In the shell: Get-All x | % { Add-B }; Add-C (Get-D \"m\"); if it is there, check it. It can take an hour.": "In the shell:|$ Get-All x | % { Add-B }; Add-C (Get-D \"m\")|If it is there, check it. It can take an hour.",
		"Allow it: Set-It -On:$true, and see Get-That.":                                                              "Allow it:|$ Set-It -On:$true|See Get-That.",
		"Run: Set-It -On. Then wait.":                                                                                "Run:|$ Set-It -On|Then wait.",
	} {
		var got []string
		for _, p := range splitAdvice(advice) {
			if p.Command {
				p.Text = "$ " + p.Text
			}
			got = append(got, p.Text)
		}
		if got := strings.Join(got, "|"); got != want {
			t.Errorf("%q: %q, want %q", advice, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	at := func(s string) time.Time {
		tm, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return tm
	}
	for _, c := range [][2]string{
		{shortTime(at("2026-11-21 00:00"), sampleNow), "00:00"},
		{shortTime(at("2026-11-20 23:59"), sampleNow), "Fri 23:59"},
		{shortTime(at("2026-11-15 12:01"), sampleNow), "Sun 12:01"},
		{shortTime(at("2026-11-14 12:01"), sampleNow), "14 Nov"},
		{shortTime(at("2025-11-21 12:00"), sampleNow), "21 Nov 2025"},
		{shortTime(at("2026-11-22 12:00"), sampleNow), "22 Nov"},
		{fullTime(at("2026-11-15 12:01"), sampleNow), "Sun 15 Nov, 12:01"},
		{fullTime(at("2025-11-15 12:01"), sampleNow), "Sat 15 Nov 2025, 12:01"},
		{ago(sampleNow.Add(-9*time.Second), sampleNow), "9 s ago"},
		{ago(sampleNow.Add(90*time.Second), sampleNow), "in 1 min"},
		{ago(sampleNow, sampleNow), "now"},
		{ago(time.Time{}, sampleNow), "never"},
		{next(sampleNow.Add(-time.Hour), sampleNow), "now"},
		{next(sampleNow.Add(time.Hour), sampleNow), "in 1 h"},
		{span(300 * time.Microsecond), "< 1 ms"},
		{span(38 * time.Millisecond), "38 ms"},
		{span(47 * time.Hour), "47 h"},
		{span(49 * time.Hour), "2 days"},
		{number(0), "0"}, {number(999), "999"}, {number(1284), "1\u202f284"}, {number(1234567), "1\u202f234\u202f567"}, {number(-1000), "-1\u202f000"},
		{fileSize(12), "12 B"}, {fileSize(184_320), "184 KB"}, {fileSize(1_100_000), "1.1 MB"},
		{percent(1, 3), "33 %"}, {percent(0, 0), "0 %"},
		{plural(1, "mailbox", "mailboxes"), "1 mailbox"}, {plural(0, "mailbox", "mailboxes"), "0 mailboxes"},
		{initials("Marta Okafor"), "MO"}, {initials("élodie de la Cruz"), "ÉC"}, {initials("ann@acme.example"), "A"}, {initials("…"), "?"}, {initials(""), "?"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}

func TestThemed(t *testing.T) {
	for html, want := range map[string]bool{
		"<p>plain</p>": false,
		`<p style="margin:0;color:black;background:white">Outlook</p>`: false,
		`<td bgcolor="#FFFFFF">white</td>`:                             false,
		`<font color="red">red</font>`:                                 true,
		`<p style="background-color: #eee">grey</p>`:                   true,
		`<p style="border-color: red">a red border</p>`:                true,
	} {
		if got := themed(html); got != want {
			t.Errorf("%s: %v, want %v", html, got, want)
		}
	}
}

func TestPlotShowsEverything(t *testing.T) {
	p := newPlot([]int{1000, 1, 0}, []int{400, 0, 0}, []string{"a", "b", "c"})
	if p.Empty || p.Bars[0].BackHeight != plotHeight || p.Bars[0].FrontHeight != 400*plotHeight/1000 {
		t.Errorf("first bar %+v", p.Bars[0])
	}
	if p.Bars[1].BackHeight != 2 || p.Bars[1].BackY != plotHeight-2 || p.Bars[2].BackHeight != 0 {
		t.Errorf("one of a thousand is drawn as %+v, none as %+v", p.Bars[1], p.Bars[2])
	}
	if !newPlot([]int{0}, []int{0}, []string{"a"}).Empty {
		t.Error("a plot of nothing is not empty")
	}
}

func TestEveryStateHasWords(t *testing.T) {
	for _, state := range stateOrder {
		w, ok := stateWords[state]
		if !ok || w.Word == "" || w.Meaning == "" || icons[w.Icon] == "" {
			t.Errorf("state %s: %+v", state, w)
		}
	}
	if len(stateOrder) != len(stateWords) {
		t.Errorf("%d states have words, %d are listed", len(stateWords), len(stateOrder))
	}
}

func TestFindingsPutFirstWhatNeedsSomebody(t *testing.T) {
	box := func(state crm.MailboxState, code string) crm.Mailbox {
		return crm.Mailbox{State: state, Since: sampleNow, Trouble: &crm.Fault{Code: code}}
	}
	list := findings(nil, []crm.Mailbox{
		box(crm.Waiting, "busy"), box(crm.Waiting, "busy"), box(crm.Attention, "one"), box(crm.Attention, "two"), box(crm.Attention, "two"), {State: crm.Live},
	})
	var got []string
	for _, f := range list {
		got = append(got, f.Fault.Code)
	}
	if len(got) != 3 || got[0] != "two" || got[1] != "one" || got[2] != "busy" {
		t.Errorf("order %q, want two (2 mailboxes), one, busy", got)
	}
}
