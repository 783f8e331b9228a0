package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An imapClient speaks the few words of IMAP that the tests need.
type imapClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	tag  int
}

// A reply is one untagged line; a literal in it stands in place of its length.
type reply struct {
	line    string
	literal []byte
}

func dialIMAP(t *testing.T, address string) *imapClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &imapClient{t: t, conn: conn, r: bufio.NewReader(conn)}
	if greeting := c.line(); !strings.HasPrefix(greeting, "* OK") {
		t.Fatalf("greeting %q", greeting)
	}
	return c
}

func (c *imapClient) line() string {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("IMAP: %v after %q", err, line)
	}
	return strings.TrimRight(line, "\r\n")
}

var literalSize = regexp.MustCompile(`\{(\d+)\}$`)

// do sends a command and returns the untagged replies; anything but OK is an error. A
// literal, if any, is sent when the server is ready for it.
func (c *imapClient) do(literal, format string, args ...any) []reply {
	c.t.Helper()
	c.tag++
	tag := fmt.Sprintf("a%d ", c.tag)
	command := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(c.conn, tag+command+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	var replies []reply
	for {
		r := reply{line: c.line()}
		for {
			size := literalSize.FindStringSubmatch(r.line)
			if size == nil {
				break
			}
			n, err := strconv.Atoi(size[1])
			if err != nil {
				c.t.Fatal(err)
			}
			r.literal = make([]byte, n)
			if _, err := io.ReadFull(c.r, r.literal); err != nil {
				c.t.Fatal(err)
			}
			r.line = strings.TrimSuffix(r.line, size[0]) + c.line()
		}
		switch {
		case strings.HasPrefix(r.line, tag+"OK"):
			return replies
		case strings.HasPrefix(r.line, tag):
			c.t.Fatalf("%s: %s", command, r.line)
		case strings.HasPrefix(r.line, "+"):
			if _, err := io.WriteString(c.conn, literal+"\r\n"); err != nil {
				c.t.Fatal(err)
			}
		default:
			replies = append(replies, r)
		}
	}
}

// uids searches the selected folder.
func (c *imapClient) uids(what string) []string {
	c.t.Helper()
	for _, r := range c.do("", "UID SEARCH %s", what) {
		if list, ok := strings.CutPrefix(r.line, "* SEARCH"); ok {
			return strings.Fields(list)
		}
	}
	return nil
}

// messages fetches each message of the selected folder whole.
func (c *imapClient) messages() [][]byte {
	c.t.Helper()
	var list [][]byte
	for _, uid := range c.uids("ALL") {
		for _, r := range c.do("", "UID FETCH %s (BODY.PEEK[])", uid) {
			if r.literal != nil {
				list = append(list, r.literal)
			}
		}
	}
	return list
}
