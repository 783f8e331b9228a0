package sim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/ews"
	"postern/mail"
)

const (
	login    = "svc-crm@company.example"
	password = "correct horse"
	ann      = mail.Address("ann@company.example")
	bob      = mail.Address("bob@company.example")
)

var epoch = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// newExchange is an organization with the mailboxes of Ann and Bob and one account.
func newExchange(t testing.TB, o Options) *Exchange {
	t.Helper()
	if o.Now == nil {
		var seconds atomic.Int64
		o.Now = func() time.Time { return epoch.Add(time.Duration(seconds.Add(1)) * time.Second) }
	}
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	x.AddAccount(Account{Login: login, Password: password})
	x.AddMailbox(Person{"Ann Archer", ann}, "ann.archer@company.example")
	x.AddMailbox(Person{"Bob Baker", bob})
	return x
}

// letterOf is a raw message with these lines.
func letterOf(lines ...string) []byte {
	return []byte(strings.Join(lines, "\r\n") + "\r\n")
}

// plain is an ordinary letter with a number in it.
func plain(n int) []byte {
	return letterOf(
		"From: Clara Contact <clara@customer.example>",
		"To: Ann Archer <ann@company.example>",
		fmt.Sprintf("Subject: Letter %d", n),
		fmt.Sprintf("Date: Mon, 02 Mar 2026 %02d:%02d:00 +0000", n/60, n%60),
		fmt.Sprintf("Message-ID: <letter-%d@customer.example>", n),
		"",
		fmt.Sprintf("Text of letter %d.", n))
}

// A caller is a signed-in client.
type caller struct {
	t       testing.TB
	x       *Exchange
	mailbox mail.Address
	version string
	login   string
	agent   string // the User-Agent
}

// asUser impersonates the owner of a mailbox.
func asUser(t testing.TB, x *Exchange, mailbox mail.Address) *caller {
	return &caller{t: t, x: x, mailbox: mailbox, version: ews.Exchange2013SP1, login: login}
}

// asSelf signs in and impersonates nobody; all accounts of the tests have one password.
func asSelf(t testing.TB, x *Exchange, login string) *caller {
	return &caller{t: t, x: x, version: ews.Exchange2013SP1, login: login}
}

// send posts an operation and returns status and body.
func (c *caller) send(op ews.Operation) (int, []byte) {
	c.t.Helper()
	req := &ews.Request{Header: ews.Header{Version: c.version}, Op: op}
	if c.mailbox != "" {
		req.Impersonation.PrimarySmtpAddress = string(c.mailbox)
	}
	var body bytes.Buffer
	if err := ews.WriteRequest(&body, req); err != nil {
		c.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, Path, &body)
	r.SetBasicAuth(c.login, password)
	r.Header.Set("User-Agent", c.agent)
	return serve(c.t, c.x, r)
}

// serve has a request answered.
func serve(t testing.TB, x *Exchange, r *http.Request) (int, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		x.ServeHTTP(w, r)
	}()
	answer, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, answer
}

// shared is the folder with the corpus, fixtures and schemas; the test is skipped where
// there is none.
func shared(t testing.TB, path string) string {
	t.Helper()
	root := os.Getenv("POSTERN_SHARED")
	if root == "" {
		root = "../../shared"
	}
	path = filepath.Join(root, path)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here", path)
	}
	return path
}

// deliver sends letters and returns the items of the first one's last recipient.
func deliver(t testing.TB, x *Exchange, raw []byte) *Item {
	t.Helper()
	items, err := x.Deliver(raw)
	if err != nil || len(items) == 0 {
		t.Fatalf("deliver: %d items, %v", len(items), err)
	}
	return items[len(items)-1]
}

// A wireAnswer is what the tests read from an answer, by the standard library and not by
// the code that wrote it.
type wireAnswer struct {
	Version struct {
		Major string `xml:"MajorVersion,attr"`
	} `xml:"Header>ServerVersionInfo"`
	Body struct {
		Fault    *wireFault
		Response []struct {
			Messages anyOf[wireMessage] `xml:"ResponseMessages"`
		} `xml:",any"`
	}
}

type wireFault struct {
	Name   string `xml:"faultcode"`
	Text   string `xml:"faultstring"`
	Code   string `xml:"detail>ResponseCode"`
	Values []struct {
		Name string `xml:",attr"`
		Text string `xml:",chardata"`
	} `xml:"detail>MessageXml>Value"`
}

// anyOf is a list of elements whatever they are called.
type anyOf[T any] struct {
	List []T `xml:",any"`
}

type wireMessage struct {
	Class     string            `xml:"ResponseClass,attr"`
	Code      string            `xml:"ResponseCode"`
	SyncState string            `xml:"SyncState"`
	Last      bool              `xml:"IncludesLastItemInRange"`
	Changes   anyOf[wireChange] `xml:"Changes"`
	Root      struct {
		Total   int               `xml:"TotalItemsInView,attr"`
		Offset  int               `xml:"IndexedPagingOffset,attr"`
		Last    bool              `xml:"IncludesLastItemInRange,attr"`
		Items   anyOf[wireItem]   `xml:"Items"`
		Folders anyOf[wireFolder] `xml:"Folders"`
	} `xml:"RootFolder"`
	Items        anyOf[wireItem]       `xml:"Items"`
	Folders      anyOf[wireFolder]     `xml:"Folders"`
	Attachments  anyOf[wireAttachment] `xml:"Attachments"`
	Resolutions  []wireAddress         `xml:"ResolutionSet>Resolution>Mailbox"`
	Members      []wireAddress         `xml:"DLExpansion>Mailbox"`
	Subscription string                `xml:"SubscriptionId"`
	Watermark    string                `xml:"Watermark"`
	Notification *wireNote             `xml:"Notification"`
	Alternate    struct {
		ID      string `xml:"Id,attr"`
		Mailbox string `xml:"Mailbox,attr"`
	} `xml:"AlternateId"`
}

type wireChange struct {
	XMLName xml.Name
	ID      wireID     `xml:"ItemId"` // of Delete and ReadFlagChange
	Folder  wireID     `xml:"FolderId"`
	IsRead  string     `xml:"IsRead"`
	Things  []wireItem `xml:",any"`
}

type wireID struct {
	ID        string `xml:"Id,attr"`
	ChangeKey string `xml:"ChangeKey,attr"`
}

type wireItem struct {
	XMLName     xml.Name
	ID          wireID                `xml:"ItemId"`
	FolderID    wireID                `xml:"FolderId"`
	DisplayName string                `xml:"DisplayName"`
	Mime        string                `xml:"MimeContent"`
	Class       string                `xml:"ItemClass"`
	Subject     string                `xml:"Subject"`
	Body        *wireBody             `xml:"Body"`
	Attachments anyOf[wireAttachment] `xml:"Attachments"`
	IsRead      string                `xml:"IsRead"`
	Categories  []string              `xml:"Categories>String"`
	Sent        string                `xml:"DateTimeSent"`
	Received    string                `xml:"DateTimeReceived"`
	From        wireAddress           `xml:"From>Mailbox"`
	To          []wireAddress         `xml:"ToRecipients>Mailbox"`
	Bcc         []wireAddress         `xml:"BccRecipients>Mailbox"`
	Extended    []wireProperty        `xml:"ExtendedProperty"`
}

type wireBody struct {
	Type      string `xml:"BodyType,attr"`
	Truncated bool   `xml:"IsTruncated,attr"`
	Text      string `xml:",chardata"`
}

type wireAddress struct {
	Name    string `xml:"Name"`
	Address string `xml:"EmailAddress"`
	Routing string `xml:"RoutingType"`
	Type    string `xml:"MailboxType"`
}

type wireProperty struct {
	Field struct {
		Tag string `xml:"PropertyTag,attr"`
	} `xml:"ExtendedFieldURI"`
	Value string `xml:"Value"`
}

type wireAttachment struct {
	XMLName xml.Name
	ID      wireID     `xml:"AttachmentId"`
	Name    string     `xml:"Name"`
	Inline  bool       `xml:"IsInline"`
	Content string     `xml:"Content"`
	Item    []wireItem `xml:"Message"`
}

type wireFolder struct {
	XMLName     xml.Name
	ID          wireID         `xml:"FolderId"`
	DisplayName string         `xml:"DisplayName"`
	Total       int            `xml:"TotalCount"`
	Role        string         `xml:"DistinguishedFolderId"`
	Extended    []wireProperty `xml:"ExtendedProperty"`
}

// ask sends an operation and reads the answer, which must be XML.
func (c *caller) ask(op ews.Operation) wireAnswer {
	c.t.Helper()
	_, body := c.send(op)
	return readAnswer(c.t, body)
}

func readAnswer(t testing.TB, body []byte) wireAnswer {
	t.Helper()
	var a wireAnswer
	if err := xml.Unmarshal(body, &a); err != nil {
		t.Fatalf("%v in %.400s", err, body)
	}
	return a
}

// one returns the only response message of an answer, which must be a success.
func (c *caller) one(op ews.Operation) wireMessage {
	c.t.Helper()
	a := c.ask(op)
	if m := a.messages(); len(m) == 1 && m[0].Class == "Success" {
		return m[0]
	}
	c.t.Fatalf("%s: want one success, got %+v", op.Operation(), a)
	return wireMessage{}
}

// messages are the response messages, none in a fault.
func (a *wireAnswer) messages() []wireMessage {
	if len(a.Body.Response) == 0 {
		return nil
	}
	return a.Body.Response[0].Messages.List
}

// code is the response code of a fault or of the first response message.
func (a *wireAnswer) code() string {
	f, m := a.Body.Fault, a.messages()
	switch {
	case f != nil && f.Code != "":
		return f.Code
	case f != nil:
		return f.Name
	case len(m) > 0:
		return m[0].Code
	}
	return ""
}

func inbox() *ews.FolderID { return &ews.FolderID{Distinguished: "inbox"} }

func itemShape(uris ...string) ews.ItemShape {
	s := ews.ItemShape{Base: ews.IDOnly}
	for _, uri := range uris {
		s.Additional = append(s.Additional, ews.Field(uri))
	}
	return s
}

// item asks for the properties of one item.
func (c *caller) item(it *Item, uris ...string) wireItem {
	c.t.Helper()
	return c.one(&ews.GetItem{Shape: itemShape(uris...), IDs: []ews.ItemID{{ID: it.ID()}}}).Items.List[0]
}
