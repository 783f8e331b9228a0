package ntlm

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bodgit/ntlmssp"
)

func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestProofOfTheSpecification takes the example of Microsoft's document: user "User" of
// "Domain" with password "Password".
//
// https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-nlmp/1c6f8ce7-a7d8-4df1-bd38-5d64ef47e8cc
func TestProofOfTheSpecification(t *testing.T) {
	p := &Proof{
		User:   "User",
		domain: wide("Domain"),
		proof:  bytesOf(t, "68cd0ab851e51c96aabc927bebef6a1c"),
		blob: bytesOf(t, "0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000"+
			"02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200 00000000 00000000"),
		logOn: &LogOn{nonce: [8]byte(bytesOf(t, "0123456789abcdef"))},
	}
	if !p.By("Password") {
		t.Error("the right password proves nothing")
	}
	if p.By("password") {
		t.Error("another password passes, too")
	}
}

// logOn runs a client against the server's half and returns the last message.
func logOn(t testing.TB, user, password string, binding *ntlmssp.ChannelBindings) (*LogOn, []byte) {
	t.Helper()
	client, err := ntlmssp.NewClient(ntlmssp.SetUserInfo(user, password), ntlmssp.SetDomain("COMPANY"))
	if err != nil {
		t.Fatal(err)
	}
	hello, err := client.Authenticate(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Challenge(hello, "COMPANY", "EX01", time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	last, err := client.Authenticate(l.Message, binding)
	if err != nil {
		t.Fatal(err)
	}
	return l, last
}

func TestLogOn(t *testing.T) {
	l, last := logOn(t, "ann", "Füchse & Hasen", &ntlmssp.ChannelBindings{ApplicationData: []byte("tls-server-end-point:x")})
	p, err := l.Read(last)
	if err != nil {
		t.Fatal(err)
	}
	if p.User != "ann" || p.Domain != "COMPANY" || !p.Coded || len(p.Binding) != 16 {
		t.Errorf("read %+v", p)
	}
	if !p.By("Füchse & Hasen") || p.By("Fuchse & Hasen") {
		t.Error("the password does not decide")
	}
	other, _ := logOn(t, "ann", "x", nil)
	if p, err := other.Read(last); err != nil || p.By("Füchse & Hasen") {
		t.Errorf("the answer to another challenge passes: %v", err)
	}
	free, last := logOn(t, "ann", "x", nil)
	if p, err := free.Read(last); err != nil || p.Binding != nil {
		t.Errorf("no binding is read as one: %v, %v", p, err)
	}
}

// TestTamperedLogOn: the code covers each byte of all messages.
func TestTamperedLogOn(t *testing.T) {
	l, last := logOn(t, "ann", "secret", nil)
	passes := func(l *LogOn, m []byte) bool {
		p, err := l.Read(m)
		return err == nil && p.By("secret")
	}
	if !passes(l, last) {
		t.Fatal("the log-on does not pass as it is")
	}
	for i := range last {
		damaged := slices.Clone(last)
		damaged[i] ^= 1
		if passes(l, damaged) {
			t.Errorf("byte %d of the last message may be changed", i)
		}
	}
	for i := range l.Message {
		other := *l
		other.Message = slices.Clone(l.Message)
		other.Message[i] ^= 1
		if passes(&other, last) {
			t.Errorf("byte %d of the challenge may have been changed on the way", i)
		}
	}
}

func TestOtherMessages(t *testing.T) {
	for _, m := range []string{"", "NTLMSSP\x00", "NTLMSSP\x00\x02\x00\x00\x00", "NTLMSSP\x00\x03\x00\x00\x00"} {
		if _, err := Challenge([]byte(m), "COMPANY", "EX01", time.Now()); err == nil {
			t.Errorf("%q begins a log-on", m)
		}
	}
	l, last := logOn(t, "ann", "secret", nil)
	for cut := range last {
		if p, err := l.Read(last[:cut]); err == nil && p.By("secret") {
			t.Errorf("the first %d bytes do", cut)
		}
	}
}

func FuzzRead(f *testing.F) {
	l, last := logOn(f, "ann", "secret", nil)
	f.Add(last)
	f.Add(l.Message)
	f.Fuzz(func(t *testing.T, m []byte) {
		if p, err := l.Read(m); err == nil && p.By("secret") && !bytes.Equal(m, last) {
			t.Errorf("%x passes", m)
		}
	})
}
