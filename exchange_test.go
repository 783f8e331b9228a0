package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestNoScriptsForNoVersion: a version is asked for until it is named or set; only then are
// there scripts, or a link to them.
func TestNoScriptsForNoVersion(t *testing.T) {
	data := newFolder(t)
	say := func(line string, status int, words ...string) {
		t.Helper()
		var out bytes.Buffer
		if got := run(append(strings.Fields(line), "--data", data), &out, &out); got != status {
			t.Errorf("%s: status %d, want %d\n%s", line, got, status, &out)
		}
		for _, word := range words {
			if !strings.Contains(out.String(), word) {
				t.Errorf("%s: %q is missing in\n%s", line, word, &out)
			}
		}
		if made := strings.Contains(out.String(), "grant  ") || strings.Contains(out.String(), "/share/"); made && status != 0 {
			t.Errorf("%s: made all the same\n%s", line, &out)
		}
	}
	for _, line := range []string{"exchange", "exchange scripts grant", "exchange share"} {
		say(line, 1, "Nobody has said yet which version of Exchange", "Exchange2010,", "ExchangeSE", "ExchangeOnline", "postern check")
	}
	say("exchange --for Exchange5", 1, `no scripts for a version "Exchange5"`, "ExchangeSE")
	say("exchange shares", 0, "No link holds.")
	say("exchange --for ExchangeSE", 0, "grant  ", "user-agent")
	say("exchange share --for ExchangeOnline", 0, "/share/")
	say("settings --version Exchange2019", 0)
	say("exchange", 0, "grant  ", "user-agent")
	say("exchange share", 0, "/share/")
}
