package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	fast "github.com/segmentio/asm/base64"

	"postern/cast"
	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/gate"
	"postern/mail"
	"postern/store"
)

// benchImport measures, on the same bytes in one run, what a floor costs and what we cost:
// reading the answers and throwing them away; scanning them for tags and decoding base64,
// by the standard library and by the faster decoder that our client uses; our client; the
// whole job to committed activities.
type benchImport struct {
	Messages int    `help:"How many letters." default:"5000"`
	Letters  string `help:"Mail to import (.eml, folder, Maildir, mbox; .gz, .zst); none = letters of the cast." type:"path"`
	JSON     bool   `help:"Print one JSON object."`
}

// measured is the result. CPU is seconds of this process per 1,000 messages.
type measured struct {
	Messages      int     `json:"messages"`
	AnswerBytes   int64   `json:"answer_bytes"` // of the answers with MIME, once
	Discard       float64 `json:"discard_cpu"`
	Scan          float64 `json:"scan_cpu"`      // base64 by the standard library
	ScanFast      float64 `json:"scan_fast_cpu"` // base64 by the decoder that our client uses: the harder floor
	Client        float64 `json:"client_cpu"`
	Job           float64 `json:"job_cpu"`
	ClientPerScan float64 `json:"client_per_scan"`
	JobPerScan    float64 `json:"job_per_scan"`
	ClientPerFast float64 `json:"client_per_scan_fast"`
	JobPerFast    float64 `json:"job_per_scan_fast"`
	Filed         int     `json:"filed"`
	Requests      float64 `json:"requests_per_1000"`
	NoneFiled     float64 `json:"requests_per_1000_none_filed"`
	JobSeconds    float64 `json:"job_seconds"`
	PeakRSS       int64   `json:"peak_rss_bytes"`
}

// Every letter goes to benchUser, too, so that all lie in one mailbox and all are filed
// whose sender is a contact.
const (
	benchCompany = "bench.example"
	benchUser    = "everyone@" + benchCompany
)

func (b *benchImport) Run(c *common) error {
	if b.Messages < 1 {
		return badArgument("--messages must be at least 1.", "Give how many letters to import.", nil)
	}
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if b.Letters == "" {
		b.Letters = filepath.Join(dir, "letters.mbox")
		if err := writeCast(b.Letters, b.Messages); err != nil {
			return err
		}
	}
	exchange, err := startSim(c.ctx, dir, "--letters", b.Letters, "--limit", strconv.Itoa(b.Messages), "--company", benchCompany, "--also-to", benchUser)
	if err != nil {
		return err
	}
	defer exchange.stop()
	m, err := newMeasure(c.ctx, exchange.URL)
	if err != nil {
		return err
	}
	result, err := m.run(dir)
	if err != nil {
		return err
	}
	if b.JSON {
		return json.NewEncoder(c.out).Encode(result)
	}
	_, err = fmt.Fprintf(c.out, "%d messages, %d filed; CPU seconds per 1,000: discard %.3f, scan %.3f (fast base64 %.3f), client %.3f (%.1f × scan, %.1f × fast), job %.3f (%.1f × scan, %.1f × fast)\n"+
		"requests per 1,000: %.1f all filed, %.1f none filed; job %.1f s; peak RSS %d MiB\n",
		result.Messages, result.Filed, result.Discard, result.Scan, result.ScanFast, result.Client, result.ClientPerScan, result.ClientPerFast, result.Job, result.JobPerScan, result.JobPerFast,
		result.Requests, result.NoneFiled, result.JobSeconds, result.PeakRSS>>20)
	return err
}

// writeCast writes letters of the cast as an mbox.
func writeCast(path string, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprint(w, "From cast Thu Jan  1 00:00:00 1970\n")
		raw := bytes.ReplaceAll(cast.Trickle(time.Now(), i).Raw, []byte("\r\n"), []byte("\n"))
		w.Write(bytes.ReplaceAll(raw, []byte("\nFrom "), []byte("\n>From ")))
		w.WriteString("\n\n")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// A measure holds what all parts of a run share.
type measure struct {
	ctx       context.Context
	url       string
	source    crm.Source
	box       *crm.Mailbox
	connector crm.Connector
	transport crm.Transport
	settings  crm.Settings
	ids       []string
	contacts  []crm.Contact // the senders
}

func newMeasure(ctx context.Context, url string) (*measure, error) {
	m := &measure{ctx: ctx, url: url, box: &crm.Mailbox{ID: 1, Address: benchUser}}
	m.connector = ews.Connector()
	m.settings = crm.Settings{Enabled: true, Server: url, Version: "Exchange2013_SP1", Login: demoLogin, Password: crm.NewSecret(demoPassword), UserAgent: crm.DefaultUserAgent, Domains: []string{benchCompany}}
	var err error
	g := gate.New(gate.Config{})
	g.Set(gate.Terms{Deployment: crm.Deployment{Ranges: thisMachine}})
	m.transport = g.Trial(m.settings, "", m.box.Address)
	if m.source, err = m.connector.Source(m.settings, m.transport); err != nil {
		return nil, err
	}
	return m, m.survey()
}

// survey lists the items and makes a contact of each sender.
func (m *measure) survey() error {
	folders, err := m.source.Folders(m.ctx, m.box)
	if err != nil {
		return err
	}
	senders := make(map[mail.Address]bool)
	for i, in := range crm.InScope(folders) {
		for since, more := crm.Cursor(""), in; more; {
			page, err := m.source.Changes(m.ctx, m.box, folders[i], since)
			if err != nil {
				return err
			}
			for _, h := range page.Headers {
				m.ids = append(m.ids, h.ID)
				for _, p := range h.People {
					senders[p.Address] = senders[p.Address] || p.Part == crm.From
				}
			}
			since, more = page.Next, page.More
		}
	}
	delete(senders, "")
	for a, sent := range senders {
		if sent && a != benchUser {
			m.contacts = append(m.contacts, crm.Contact{Name: a.Local(), Addresses: addresses(a)})
		}
	}
	return nil
}

func (m *measure) run(dir string) (*measured, error) {
	if len(m.ids) == 0 {
		return nil, errors.New("no items to measure with")
	}
	per1000 := 1000 / float64(len(m.ids))
	r := &measured{Messages: len(m.ids)}
	var err error
	if r.Discard, err = m.cpu(func() (err error) { r.AnswerBytes, err = m.fetch(discard); return err }); err != nil {
		return nil, err
	}
	for _, floor := range []struct {
		cpu    *float64
		decode func(to, from []byte) (int, error)
	}{{&r.Scan, base64.StdEncoding.Decode}, {&r.ScanFast, fast.StdEncoding.Decode}} {
		s := &scanner{decode: floor.decode}
		if *floor.cpu, err = m.cpu(func() error { _, err := m.fetch(s.scan); return err }); err != nil {
			return nil, err
		}
	}
	if r.Client, err = m.cpu(m.client); err != nil {
		return nil, err
	}
	began, cpu := time.Now(), cpuSeconds()
	filed, requests, err := m.job(filepath.Join(dir, "filed"), m.contacts)
	if err != nil {
		return nil, err
	}
	r.Filed, r.Requests = filed, float64(requests)*per1000
	r.JobSeconds, r.Job = time.Since(began).Seconds(), cpuSeconds()-cpu
	if _, requests, err = m.job(filepath.Join(dir, "none"), nil); err != nil {
		return nil, err
	}
	r.NoneFiled = float64(requests) * per1000
	r.ClientPerScan, r.JobPerScan = r.Client/r.Scan, r.Job/r.Scan
	r.ClientPerFast, r.JobPerFast = r.Client/r.ScanFast, r.Job/r.ScanFast
	for _, x := range []*float64{&r.Discard, &r.Scan, &r.ScanFast, &r.Client, &r.Job} {
		*x *= per1000
	}
	r.PeakRSS = peakRSS()
	return r, nil
}

// cpu returns the processor time of a part: the median of five rounds.
func (m *measure) cpu(part func() error) (float64, error) {
	var rounds []float64
	for range 5 {
		before := cpuSeconds()
		if err := part(); err != nil {
			return 0, err
		}
		rounds = append(rounds, cpuSeconds()-before)
	}
	slices.Sort(rounds)
	return rounds[len(rounds)/2], nil
}

// benchBatch is how many items one request of the first three parts asks for.
const benchBatch = 100

// operation asks for the MIME content of a batch.
func operation(ids []string) *ews.GetItem {
	op := &ews.GetItem{Shape: ews.ItemShape{Base: "IdOnly", IncludeMimeContent: true}}
	for _, id := range ids {
		op.IDs = append(op.IDs, ews.ItemID{ID: id})
	}
	return op
}

// fetch posts the requests by a bare HTTP client and hands each answer to use.
func (m *measure) fetch(use func(io.Reader) (int64, error)) (total int64, err error) {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	for batch := range slices.Chunk(m.ids, benchBatch) {
		var body bytes.Buffer
		header := ews.Header{Version: "Exchange2013_SP1"}
		header.Impersonation.PrimarySmtpAddress = string(m.box.Address)
		if err := ews.WriteRequest(&body, &ews.Request{Header: header, Op: operation(batch)}); err != nil {
			return 0, err
		}
		req, err := http.NewRequestWithContext(m.ctx, http.MethodPost, m.url, &body)
		if err != nil {
			return 0, err
		}
		req.SetBasicAuth(demoLogin, demoPassword)
		req.Header.Set("Content-Type", "text/xml; charset=utf-8")
		answer, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		n, err := use(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("answer with status %d: %w", answer.StatusCode, err)
		}
		total += n
	}
	return total, nil
}

func discard(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

// A scanner does what no client can do without: it finds the tags and decodes the base64
// between those of MimeContent.
type scanner struct {
	decode func(to, from []byte) (int, error)
	answer bytes.Buffer
	mime   []byte
}

func (s *scanner) scan(r io.Reader) (int64, error) {
	s.answer.Reset()
	n, err := s.answer.ReadFrom(r)
	if err != nil {
		return n, err
	}
	rest, found := s.answer.Bytes(), 0
	for {
		i := bytes.IndexByte(rest, '<')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		if !bytes.HasPrefix(rest, []byte("t:MimeContent")) {
			continue
		}
		rest = rest[bytes.IndexByte(rest, '>')+1:]
		content := rest[:max(0, bytes.IndexByte(rest, '<'))]
		s.mime = slices.Grow(s.mime[:0], base64.StdEncoding.DecodedLen(len(content)))[:base64.StdEncoding.DecodedLen(len(content))]
		if _, err := s.decode(s.mime, content); err != nil {
			return n, err
		}
		found++
	}
	if found == 0 {
		return n, errors.New("an answer without MIME content")
	}
	return n, nil
}

// client fetches and decodes the same by our client.
func (m *measure) client() error {
	client, err := ews.New(ews.Config{URL: m.url, Login: demoLogin, Password: func() string { return demoPassword }, UserAgent: m.transport.UserAgent, Dial: m.transport.Dial})
	if err != nil {
		return err
	}
	defer client.Close()
	session := client.As(string(m.box.Address))
	for batch := range slices.Chunk(m.ids, benchBatch) {
		err := session.GetItem(m.ctx, operation(batch), func(int) io.Writer { return io.Discard }, func(_ int, r *ews.ItemsResult) error { return r.Err() })
		if err != nil {
			return err
		}
	}
	return nil
}

// job imports everything into a new store and returns how much was filed, by how many
// requests.
func (m *measure) job(dir string, contacts []crm.Contact) (filed, requests int, err error) {
	st, err := store.Open(m.ctx, store.Options{Dir: dir, Exclusive: true})
	if err != nil {
		return 0, 0, err
	}
	defer st.Close()
	if err := allowThisMachine(m.ctx, st); err != nil {
		return 0, 0, err
	}
	org := st.Org(1)
	if _, err := org.SaveUsers(m.ctx, []crm.User{{Name: "Bench", Addresses: addresses(benchUser), Active: true}}); err != nil {
		return 0, 0, err
	}
	if _, err := org.SaveContacts(m.ctx, contacts); err != nil {
		return 0, 0, err
	}
	if err := org.SaveSettings(m.ctx, m.settings); err != nil {
		return 0, 0, err
	}
	counted := newMeter(org)
	defer counted.Close()
	e := engine.New(engine.Config{Org: org, Connector: m.connector, AccessLog: counted})
	if err := e.CatchUp(m.ctx); err != nil {
		return 0, 0, err
	}
	counts, err := org.Counts(m.ctx)
	_, requests, _ = counted.read()
	return counts.Filed, requests, err
}
