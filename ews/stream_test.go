package ews

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// envelope writes one envelope of a stream.
func envelope(r *GetStreamingEventsResult) string {
	r.OnWire = true
	return text(func(b *bytes.Buffer) { WriteResponse(b, ServerVersion{}, "GetStreamingEvents", r) })
}

func signOfLife() *GetStreamingEventsResult {
	return &GetStreamingEventsResult{Result: Succeeded(), Status: ConnectionOK}
}

func closing() *GetStreamingEventsResult {
	return &GetStreamingEventsResult{Result: Succeeded(), Status: ConnectionClosed}
}

// newMail says that an item came into a folder.
func newMail(subscription, folder string) *GetStreamingEventsResult {
	return &GetStreamingEventsResult{Result: Succeeded(), Notifications: []Notification{{SubscriptionID: subscription, Events: []MailboxEvent{
		{Kind: NewMailEvent, TimeStamp: time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC), Item: &ItemID{ID: "A"}, Parent: &FolderID{ID: folder}},
	}}}}
}

// told boils down what a stream brings: the subscriptions that each envelope speaks of,
// and how it ends.
func told(r io.Reader) (list []string, err error) {
	st := stream{codec: codec{d: &decoder{r: r, buf: make([]byte, streamWindow)}}}
	for {
		_, results, err := st.next()
		if err != nil {
			return list, err
		}
		for _, r := range results {
			s := string(r.Code) + " " + string(r.Status)
			for _, n := range r.Notifications {
				s += " " + n.SubscriptionID
				for _, e := range n.Events {
					s += "/" + string(e.Kind)
				}
			}
			list = append(list, s)
		}
	}
}

// TestStreamCutAtEveryByte: what was whole before the cut is told, and nothing else; the
// cut is an error wherever it is, because the server had not said that it closes.
func TestStreamCutAtEveryByte(t *testing.T) {
	status := &GetStreamingEventsResult{Result: Succeeded(), Notifications: []Notification{{SubscriptionID: "S2", Events: []MailboxEvent{{Kind: StatusEvent}}}}}
	parts := []string{
		"\uFEFF" + envelope(signOfLife()), "\r\n" + envelope(newMail("S1", "F1")), "\n\t \uFEFF\n" + envelope(status),
		"<!-- x -->" + envelope(newMail("S1", "F2")), "\n",
	}
	want := []string{"NoError OK", "NoError  S1/NewMailEvent", "NoError  S2/StatusEvent", "NoError  S1/NewMailEvent"}
	in := strings.Join(parts, "")
	for cut := range len(in) + 1 {
		whole, end := 0, 0
		for _, p := range parts[:4] {
			if end += len(p); end <= cut {
				whole++
			}
		}
		got, err := told(strings.NewReader(in[:cut]))
		if !slices.Equal(got, want[:whole]) {
			t.Fatalf("cut at %d of %d: got %q, want %q", cut, len(in), got, want[:whole])
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d of %d: got %v, want a torn answer", cut, len(in), err)
		}
		if f := verdict(&Error{Status: 200, Err: err}); f.Code != "torn-answer" {
			t.Fatalf("cut at %d: judged as %+v", cut, f)
		}
	}
}

// TestStreamArrivesPiecemeal: however a stream is cut into pieces, it reads the same.
func TestStreamArrivesPiecemeal(t *testing.T) {
	in := envelope(signOfLife()) + envelope(newMail("S1", "F1")) + "\n" + envelope(newMail("S2", "F2"))
	want, _ := told(strings.NewReader(in))
	if len(want) != 3 {
		t.Fatalf("got %q", want)
	}
	for _, r := range []io.Reader{iotest.OneByteReader(strings.NewReader(in)), iotest.HalfReader(strings.NewReader(in)), iotest.DataErrReader(strings.NewReader(in))} {
		got, _ := told(r)
		if d := gocmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

// TestStreamIsBounded: an envelope without end is not held.
func TestStreamIsBounded(t *testing.T) {
	one := strings.Replace(envelope(newMail("S1", "F1")), "</m:Notifications>", "", 1)
	one = one[:strings.Index(one, "</m:GetStreamingEventsResponseMessage>")]
	more := "<m:Notification><t:SubscriptionId>" + "S1" + "</t:SubscriptionId></m:Notification>"
	_, err := told(io.MultiReader(strings.NewReader(one), endless(more)))
	if !errors.Is(err, errBounds) {
		t.Errorf("got %v, want a bound", err)
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(envelope(signOfLife()) + envelope(newMail("S1", "F1"))))
	f.Add([]byte(envelope(closing()) + "\uFEFF<?xml version='1.0'?>" + envelope(newMail("S1", "F1"))))
	f.Add([]byte(text(func(b *bytes.Buffer) { WriteFault(b, ServerVersion{}, &SOAPFault{Code: "ErrorServerBusy"}) })))
	f.Add([]byte("<a/><b>"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := told(bytes.NewReader(in))
		if err == nil {
			t.Fatal("a stream that ends by itself is no error")
		}
		pieces, pieceErr := told(iotest.OneByteReader(bytes.NewReader(in)))
		if !slices.Equal(whole, pieces) || errors.Is(err, io.ErrUnexpectedEOF) != errors.Is(pieceErr, io.ErrUnexpectedEOF) {
			t.Errorf("byte by byte it reads %q, %v, else %q, %v", pieces, pieceErr, whole, err)
		}
		for cut := 0; cut < len(in); cut += 1 + len(in)/32 {
			got, _ := told(bytes.NewReader(in[:cut]))
			if len(got) > len(whole) || !slices.Equal(got, whole[:len(got)]) {
				t.Fatalf("cut at %d it tells %q, whole %q", cut, got, whole)
			}
		}
	})
}

// listen is GetStreamingEvents for one subscription.
func listen(ctx context.Context, c *Client, take func(*GetStreamingEventsResult) error) error {
	op := &GetStreamingEvents{SubscriptionIDs: []string{"S1"}, Timeout: 29}
	return c.As("ann@example.com").GetStreamingEvents(ctx, c.Group("ann@example.com"), op, take)
}

// TestStreamIsToldAsItComes: each envelope is handed over before the next one is sent,
// packed or not, several in one chunk or one in several.
func TestStreamIsToldAsItComes(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("gzip=%v", packed), func(t *testing.T) {
			seen := make(chan string)
			s := newServer(t, anything)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if _, _, ok := r.BasicAuth(); !ok {
					return false
				}
				w.Header().Set("Content-Type", "text/xml; charset=utf-8")
				out, flush := io.Writer(w), http.NewResponseController(w).Flush
				if packed {
					w.Header().Set("Content-Encoding", "gzip")
					z := gzip.NewWriter(w)
					defer z.Close()
					out = z
				}
				send := func(s string) {
					io.WriteString(out, s)
					if z, ok := out.(*gzip.Writer); ok {
						z.Flush()
					}
					flush()
				}
				send(envelope(signOfLife()))
				<-seen
				send(envelope(newMail("S1", "F1")) + "\n" + envelope(newMail("S1", "F2")))
				<-seen
				<-seen
				third := envelope(newMail("S1", "F3"))
				for i := 0; i < len(third); i += 97 {
					send(third[i:min(i+97, len(third))])
				}
				<-seen
				send(envelope(closing()))
				<-seen
				return true
			}
			c := s.client(t, func(cfg *Config) { cfg.Gzip = packed })
			var got []string
			err := listen(t.Context(), c, func(r *GetStreamingEventsResult) error {
				what := string(r.Status)
				for _, n := range r.Notifications {
					what += n.Events[0].Parent.ID
				}
				got = append(got, what)
				seen <- what
				return nil
			})
			if d := gocmp.Diff([]string{"OK", "F1", "F2", "F3", "Closed"}, got); err != nil || d != "" {
				t.Errorf("%v\n%s", err, d)
			}
		})
	}
}

// A pipeServer is at the other end of connections that exist in memory alone, so that
// hours pass at once.
func pipeServer(t *testing.T, serve func(w io.Writer, r *http.Request)) *Client {
	t.Helper()
	c, err := New(Config{URL: "http://127.0.0.1/EWS/Exchange.asmx", MaxConns: 1, UserAgent: named("x"), Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for br := bufio.NewReader(server); ; {
				r, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				io.Copy(io.Discard, r.Body)
				serve(server, r)
			}
		}()
		return client, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n"

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// TestSilentStreamIsDead: a stream may last longer than any call, as long as there is a
// sign of life; 120 s without one end it, also when there was no header yet.
func TestSilentStreamIsDead(t *testing.T) {
	for _, signs := range []int{-1, 0, 1, 15} {
		t.Run(fmt.Sprint(signs), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := pipeServer(t, func(w io.Writer, r *http.Request) {
					if signs < 0 {
						return
					}
					io.WriteString(w, streamHead)
					for range signs {
						time.Sleep(119 * time.Second)
						io.WriteString(w, chunk(envelope(signOfLife())))
					}
				})
				defer c.Close()
				began, got := time.Now(), 0
				err := listen(t.Context(), c, func(*GetStreamingEventsResult) error { got++; return nil })
				if f := verdict(err); f.Code != "stream-silent" || f.Verdict != "retry" {
					t.Errorf("got %v, %+v", err, f)
				}
				signs := max(signs, 0)
				if took, want := time.Since(began), time.Duration(signs)*119*time.Second+120*time.Second; took != want || got != signs {
					t.Errorf("%d signs of life, over after %v; want %d, %v", got, took, signs, want)
				}
			})
		})
	}
}

// TestStreamTakesNoConnection: a client whose connections are all in use still listens,
// and a listening one still asks; and the end of the context ends the stream.
func TestStreamTakesNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := text(func(b *bytes.Buffer) { WriteResponse(b, ServerVersion{}, "GetFolder", folderAnswers(rootFolder())...) })
		streams := 0
		c := pipeServer(t, func(w io.Writer, r *http.Request) {
			if r.Header.Get("X-PreferServerAffinity") != "" {
				streams++
				io.WriteString(w, streamHead+chunk(envelope(signOfLife())))
				return
			}
			fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 3)
		for range 3 {
			go func() { ended <- listen(ctx, c, func(*GetStreamingEventsResult) error { return nil }) }()
		}
		synctest.Wait()
		for range 2 {
			if err := ask(c, "ann@example.com"); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		for range 3 {
			if f := verdict(<-ended); f.Code != "cancelled" {
				t.Errorf("got %+v", f)
			}
		}
		if streams != 3 {
			t.Errorf("%d streams, want 3", streams)
		}
	})
}

// TestStreamLogsOn: a stream's connection is authenticated by itself, in legs.
func TestStreamLogsOn(t *testing.T) {
	exchange := &ntlmServer{passwords: map[string]string{"svc": "pw"}}
	exchange.handler = func(_ string, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		io.WriteString(w, envelope(signOfLife())+envelope(newMail("S1", "F1"))+envelope(closing()))
	}
	srv := exchange.start(t, false)
	c, err := New(Config{URL: srv.URL, Login: "svc", Password: func() string { return "pw" }, UserAgent: named("x"), Dial: dialer})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := 0
	if err := listen(t.Context(), c, func(*GetStreamingEventsResult) error { n++; return nil }); err != nil || n != 3 || exchange.legs != 1 {
		t.Errorf("%d envelopes after %d log-ons, %v", n, exchange.legs, err)
	}
}
