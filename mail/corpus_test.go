package mail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// sharedFolder is where the corpus of real mail lies. It is not part of the project,
// because the letters belong to their senders.
func sharedFolder(tb testing.TB) string {
	dir := os.Getenv("POSTERN_SHARED")
	if dir == "" {
		dir = "../../shared"
	}
	dir = filepath.Join(dir, "corpus")
	if _, err := os.Stat(dir); err != nil {
		tb.Skip("no corpus of real mail; name its folder in POSTERN_SHARED")
	}
	return dir
}

// smallCorpus yields the messages of the small corpus by name.
func smallCorpus(tb testing.TB, each func(name string, data []byte)) {
	names, err := filepath.Glob(filepath.Join(sharedFolder(tb), "small", "*.eml"))
	if err != nil || len(names) == 0 {
		tb.Fatalf("the small corpus has %d messages, %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		each(filepath.Base(name), data)
	}
}

// largeCorpus yields the messages of the large corpus.
func largeCorpus(tb testing.TB, each func(n int, data []byte)) {
	f, err := os.Open(filepath.Join(sharedFolder(tb), "large.mbox.zst"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	r := bufio.NewReaderSize(z, 1<<20)
	var message []byte
	n := 0
	for {
		line, err := r.ReadSlice('\n')
		if bytes.HasPrefix(line, []byte("From ")) || err == io.EOF {
			if len(message) > 0 {
				each(n, message)
				n++
			}
			message = nil
		}
		if err == io.EOF {
			return
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			tb.Fatal(err)
		}
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) && line[0] == '>' {
			line = line[1:]
		}
		if !bytes.HasPrefix(line, []byte("From ")) || len(message) > 0 {
			message = append(message, line...)
		}
	}
}

// checkMessage fails when a message breaks a promise of the package.
func checkMessage(t *testing.T, name string, m *Message) {
	t.Helper()
	texts := []string{m.Subject(), m.HTML, m.Text, m.MessageID()}
	for _, a := range m.Attachments {
		texts = append(texts, a.Name, a.Type, a.ContentID)
	}
	for _, list := range [][]Named{m.From(), m.Sender(), m.To(), m.Cc(), m.Bcc(), m.ReplyTo()} {
		for _, n := range list {
			texts = append(texts, n.Name, string(n.Address), n.Raw)
			if again, err := ParseAddress(string(n.Address)); n.Address != "" && (err != nil || again != n.Address) {
				t.Errorf("%s: the address %q is read again as %q, %v", name, n.Address, again, err)
			}
		}
	}
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			t.Errorf("%s: text that is not valid UTF-8 without NUL: %.60q", name, s)
		}
	}
}

func TestCorpusIsReadWhole(t *testing.T) {
	var count, dated, identified, addressed, readable int
	see := func(name string, data []byte) {
		m, err := Parse(bytes.NewReader(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		checkMessage(t, name, m)
		count++
		if !m.Date().IsZero() {
			dated++
		}
		if m.MessageID() != "" {
			identified++
		}
		if f := m.From(); len(f) > 0 && f[0].Address != "" {
			addressed++
		}
		if m.Text != "" || len(m.Attachments) > 0 {
			readable++
		}
	}
	smallCorpus(t, see)
	t.Logf("small: %d messages: %d with a date, %d with an id, %d with a sender, %d with content", count, dated, identified, addressed, readable)
	if !testing.Short() {
		largeCorpus(t, func(n int, data []byte) { see("large", data) })
	}
	t.Logf("%d messages: %d with a date, %d with an id, %d with a sender, %d with content", count, dated, identified, addressed, readable)
}
