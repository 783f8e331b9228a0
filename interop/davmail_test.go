package interop

import (
	"bytes"
	"fmt"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const davmailJar = "/usr/share/davmail/davmail.jar"

// startDavMail starts DavMail in front of the server and returns the address of its IMAP
// side.
func startDavMail(t *testing.T, url string) string {
	t.Helper()
	if _, err := os.Stat(davmailJar); err != nil {
		t.Fatalf("DavMail is not installed: %v", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(address)

	dir := t.TempDir()
	properties := []string{
		"davmail.server=true", "davmail.mode=EWS", "davmail.enableEws=true", "davmail.url=" + url,
		"davmail.imapPort=" + port, "davmail.smtpPort=", "davmail.popPort=", "davmail.caldavPort=", "davmail.ldapPort=",
		"davmail.bindAddress=127.0.0.1", "davmail.allowRemote=false", "davmail.disableUpdateCheck=true",
		"davmail.logFilePath=" + filepath.Join(dir, "davmail.log"), "log4j.rootLogger=WARN", "log4j.logger.davmail=INFO",
		"davmail.imapAutoExpunge=true",
	}
	file := filepath.Join(dir, "davmail.properties")
	if err := os.WriteFile(file, []byte(strings.Join(properties, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command("java", "-Djava.awt.headless=true", "-Duser.home="+dir, "-jar", davmailJar, file))
	await(t, "DavMail", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return address
}

// TestDavMail reads the mailbox of one user by IMAP through DavMail.
func TestDavMail(t *testing.T) {
	url := startServer(t)
	c := dialIMAP(t, startDavMail(t, url))
	c.do("", "LOGIN %s %s", user, password)

	folders := map[string]bool{}
	for _, r := range c.do("", `LIST "" "*"`) {
		folders[strings.Trim(r.line[strings.LastIndexByte(r.line, '/')+2:], ` "`)] = true
	}
	for _, name := range []string{"INBOX", "Sent", "Drafts", "Trash", "Junk"} {
		if !folders[name] {
			t.Errorf("no folder %s among %v", name, folders)
		}
	}

	compared := 0
	expected := expectations(t)
	for folder, want := range map[string]int{"INBOX": 13, "Sent": 1} {
		c.do("", "SELECT %s", folder)
		got := c.messages()
		if len(got) != want {
			t.Errorf("%d messages in %s, want %d", len(got), folder, want)
		}
		for _, raw := range got {
			if e, ok := expected[subjectOf(t, raw)]; ok {
				compareMIME(t, e, raw)
				compared++
			}
		}
	}
	if compared != 10 {
		t.Errorf("compared %d messages, want the 10 of this mailbox that people can read", compared)
	}
	followChanges(t, c, url)
}

// followChanges lets the mailbox change beside DavMail and through it.
func followChanges(t *testing.T, c *imapClient, url string) {
	t.Helper()
	c.do("", "SELECT INBOX")
	before := len(c.uids("ALL"))
	letter := func(subject string) string {
		return fmt.Sprintf("From: clara@customer.example\r\nTo: %s\r\nSubject: %s\r\nDate: Wed, 18 Mar 2026 09:00:00 +0000\r\n\r\nText of it.\r\n", user, subject)
	}
	count := func(want int, step string) {
		t.Helper()
		c.do("", "NOOP")
		if got := len(c.uids("ALL")); got != want {
			t.Errorf("%s: %d messages, want %d", step, got, want)
		}
	}

	put(t, url, "inbox", letter("Put beside"))
	count(before+1, "a letter put by another program")
	appended := letter("Put through IMAP")
	c.do(appended, "APPEND INBOX (\\Seen) {%d}", len(appended))
	count(before+2, "a letter put through IMAP")

	added := c.uids("HEADER Subject Put")
	if len(added) != 2 {
		t.Fatalf("found %v of the two new letters", added)
	}
	if seen := c.uids("SEEN HEADER Subject Put"); len(seen) != 1 {
		t.Errorf("%d of the new letters are read, want one", len(seen))
	}
	c.do("", "UID STORE %s +FLAGS (\\Seen)", added[0])
	if seen := c.uids("SEEN HEADER Subject Put"); len(seen) != 2 {
		t.Errorf("%d of the new letters are read, want both", len(seen))
	}
	c.do("", "UID MOVE %s Junk", added[0])
	count(before+1, "a letter moved")
	c.do("", "UID STORE %s +FLAGS (\\Deleted)", added[1])
	c.do("", "EXPUNGE")
	count(before, "a letter deleted")
	c.do("", "SELECT Junk")
	junk := c.messages()
	if len(junk) != 1 || !bytes.Contains(junk[0], []byte("Text of it.")) {
		t.Errorf("%d letters in Junk, want the moved one", len(junk))
	}
}

// subjectOf reads a message's subject, "" when there is none to be read.
func subjectOf(t *testing.T, raw []byte) string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Error(err)
		return ""
	}
	subject, err := decodeWords(m.Header.Get("Subject"))
	if err != nil {
		t.Error(err)
	}
	return subject
}
