package web

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// The shapes of the API are written out here, apart from the store's: what other programs
// rely on must not move with a column.

type personJSON struct {
	Name    string        `json:"name"`
	Address mail.Address  `json:"address,omitempty"`
	Part    crm.Part      `json:"part,omitempty"`
	Contact crm.ContactID `json:"contact,omitempty"`
	User    crm.UserID    `json:"user,omitempty"`
}

func personToJSON(p store.PersonRef) personJSON {
	return personJSON{p.Name, p.Address, p.Part, p.Contact, p.User}
}

type mailJSON struct {
	Activity    crm.ActivityID `json:"activity"`
	Message     crm.MessageID  `json:"message"`
	When        time.Time      `json:"when"`
	Direction   mail.Direction `json:"direction"`
	Subject     string         `json:"subject"`
	Preview     string         `json:"preview"`
	From        personJSON     `json:"from"`
	To          []personJSON   `json:"to"`
	Company     string         `json:"company,omitempty"`
	Attachments int            `json:"attachments"`
	Thread      int            `json:"thread"`
	Unread      bool           `json:"unread"`
	Gone        bool           `json:"gone"`
}

type pageJSON[T any] struct {
	Total int    `json:"total"`
	Next  string `json:"next,omitempty"`
	Items []T    `json:"items"`
}

func (s *server) apiMails(w http.ResponseWriter, r *http.Request) error {
	q := readMailFilter(r.URL.Query()).query(viewerOf(r).ID)
	q.Text = r.URL.Query().Get("q")
	return s.writeMails(w, r, q)
}

func (s *server) apiSearch(w http.ResponseWriter, r *http.Request) error {
	return s.writeMails(w, r, store.MailQuery{Viewer: viewerOf(r).ID, Text: r.URL.Query().Get("q")})
}

func (s *server) apiContactActivities(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	if _, err := s.Org.Contact(r.Context(), crm.ContactID(id)); err != nil {
		return err
	}
	return s.writeMails(w, r, store.MailQuery{Viewer: viewerOf(r).ID, Contact: crm.ContactID(id)})
}

func (s *server) apiUserActivities(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	if _, err := s.Org.User(r.Context(), crm.UserID(id)); err != nil {
		return err
	}
	return s.writeMails(w, r, store.MailQuery{Viewer: viewerOf(r).ID, User: crm.UserID(id)})
}

// maxAPIPage is how many items one answer of the API holds at most.
const maxAPIPage = 500

func readLimit(r *http.Request) int {
	return int(min(max(number64(r.URL.Query().Get("limit")), 0), maxAPIPage))
}

func (s *server) writeMails(w http.ResponseWriter, r *http.Request, q store.MailQuery) error {
	q.Before, q.Limit = r.URL.Query().Get("before"), readLimit(r)
	rows, total, next, err := s.Org.Activities(r.Context(), q)
	if err != nil {
		return err
	}
	answer := pageJSON[mailJSON]{Total: total, Next: next, Items: []mailJSON{}}
	for _, a := range rows {
		j := mailJSON{
			Activity: a.Activity, Message: a.Message, When: a.When, Direction: a.Direction, Subject: a.Subject, Preview: a.Preview,
			From: personToJSON(a.From), To: []personJSON{}, Company: a.Company, Attachments: a.Attachments, Thread: a.Thread, Unread: a.Unread, Gone: a.Gone,
		}
		for _, p := range a.To {
			j.To = append(j.To, personToJSON(p))
		}
		answer.Items = append(answer.Items, j)
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

type contactJSON struct {
	ID         crm.ContactID  `json:"id"`
	Name       string         `json:"name"`
	Company    string         `json:"company"`
	Title      string         `json:"title"`
	Addresses  []mail.Address `json:"addresses"`
	Activities int            `json:"activities"`
}

func (s *server) apiContacts(w http.ResponseWriter, r *http.Request) error {
	list, total, err := s.Org.Contacts(r.Context(), apiListQuery(r))
	if err != nil {
		return err
	}
	answer := pageJSON[contactJSON]{Total: total, Items: []contactJSON{}}
	for _, c := range list {
		answer.Items = append(answer.Items, contactJSON{c.ID, c.Name, c.Company, c.Title, c.Addresses, c.Activities})
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

type userJSON struct {
	ID         crm.UserID     `json:"id"`
	Name       string         `json:"name"`
	Addresses  []mail.Address `json:"addresses"`
	Admin      bool           `json:"admin"`
	Active     bool           `json:"active"`
	Activities int            `json:"activities"`
	Mailbox    crm.MailboxID  `json:"mailbox,omitempty"`
}

func (s *server) apiUsers(w http.ResponseWriter, r *http.Request) error {
	list, total, err := s.Org.Users(r.Context(), apiListQuery(r))
	if err != nil {
		return err
	}
	answer := pageJSON[userJSON]{Total: total, Items: []userJSON{}}
	for _, u := range list {
		answer.Items = append(answer.Items, userJSON{u.ID, u.Name, u.Addresses, u.Admin, u.Active, u.Activities, u.Mailbox})
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// apiListQuery is readList with ?limit= instead of pages of one size.
func apiListQuery(r *http.Request) store.ListQuery {
	q := readList(r)
	if limit := readLimit(r); limit > 0 {
		q.Offset, q.Limit = q.Offset/listSize*limit, limit
	}
	return q
}

type messageJSON struct {
	ID          crm.MessageID    `json:"id"`
	Activity    crm.ActivityID   `json:"activity"`
	MessageID   string           `json:"message_id"`
	Subject     string           `json:"subject"`
	When        time.Time        `json:"when"`
	Direction   mail.Direction   `json:"direction"`
	Text        string           `json:"text"`
	Encrypted   bool             `json:"encrypted"`
	Missing     crm.Missing      `json:"missing,omitempty"` // what could not be had: text, body
	Rule        string           `json:"rule"`
	People      []personJSON     `json:"people"`
	Links       []linkJSON       `json:"links"`
	Attachments []attachmentJSON `json:"attachments"`
	Copies      []copyJSON       `json:"copies"`
}

type linkJSON struct {
	Contact crm.ContactID `json:"contact,omitempty"`
	User    crm.UserID    `json:"user,omitempty"`
	Name    string        `json:"name"`
	Address mail.Address  `json:"address"`
	Part    crm.Part      `json:"part"`
	Auto    bool          `json:"auto"`
}

type attachmentJSON struct {
	ID    int64                 `json:"id"`
	Name  string                `json:"name"`
	Type  string                `json:"type"`
	Size  int64                 `json:"size"`
	State store.AttachmentState `json:"state"`
}

type copyJSON struct {
	Mailbox crm.MailboxID `json:"mailbox"`
	Address mail.Address  `json:"address"`
	Folder  string        `json:"folder"`
	Read    bool          `json:"read"`
	Gone    bool          `json:"gone"`
}

func (s *server) apiMessage(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	m, err := s.Org.Message(r.Context(), viewerOf(r).ID, crm.MessageID(id))
	if err != nil {
		return err
	}
	j := messageJSON{
		ID: m.ID, Activity: m.Activity, MessageID: m.MessageID, Subject: m.Subject, When: m.When, Direction: m.Direction,
		Text: m.Text, Encrypted: m.Encrypted, Missing: m.Missing, Rule: m.Rule,
		People: []personJSON{}, Links: []linkJSON{}, Attachments: []attachmentJSON{}, Copies: []copyJSON{},
	}
	for _, p := range m.People {
		j.People = append(j.People, personToJSON(p))
	}
	for _, l := range m.Links {
		j.Links = append(j.Links, linkJSON(l))
	}
	for _, a := range m.Attachments {
		j.Attachments = append(j.Attachments, attachmentJSON{a.ID, a.Name, a.Type, a.Size, a.State})
	}
	for _, c := range m.Copies {
		j.Copies = append(j.Copies, copyJSON{c.Mailbox, c.Address, c.Folder, c.Read, !c.Gone.IsZero()})
	}
	writeJSON(w, http.StatusOK, j)
	return nil
}

type mailboxJSON struct {
	ID       crm.MailboxID      `json:"id"`
	Address  mail.Address       `json:"address"`
	User     crm.UserID         `json:"user"`
	State    crm.MailboxState   `json:"state"`
	Since    time.Time          `json:"since"`
	Checked  *time.Time         `json:"checked"` // null = never
	Watch    *watchJSON         `json:"watch,omitempty"`
	Server   string             `json:"server,omitempty"`
	Primary  mail.Address       `json:"primary_address,omitempty"` // when it is another than address
	Trouble  *troubleJSON       `json:"trouble,omitempty"`
	Off      string             `json:"off,omitempty"` // why it is off
	Items    int                `json:"items"`
	Filed    int                `json:"filed"`
	NotFiled int                `json:"not_filed"`
	Failed   int                `json:"failed"`
	Reasons  map[crm.Reason]int `json:"reasons"`
	Progress *progressJSON      `json:"progress,omitempty"`
}

type troubleJSON struct {
	Code    string    `json:"code"`
	Cause   crm.Cause `json:"cause,omitempty"`
	Message string    `json:"message"`
	Advice  string    `json:"advice"`
}

// watchJSON says how new mail comes to notice.
type watchJSON struct {
	Mode         crm.WatchMode `json:"mode"`
	Why          string        `json:"why,omitempty"`
	Since        time.Time     `json:"since,omitzero"`
	EverySeconds float64       `json:"every_seconds,omitempty"`
}

type progressJSON struct {
	Done       int     `json:"done"`
	Total      int     `json:"total"`
	Rate       float64 `json:"items_per_second"`
	ETASeconds float64 `json:"eta_seconds"`
}

func (s *server) apiMailboxes(w http.ResponseWriter, r *http.Request) error {
	boxes, total, err := s.Org.Mailboxes(r.Context(), apiListQuery(r))
	if err != nil {
		return err
	}
	answer := pageJSON[mailboxJSON]{Total: total, Items: []mailboxJSON{}}
	rows, err := s.boxRows(r.Context(), boxes)
	if err != nil {
		return err
	}
	for _, b := range rows {
		j := mailboxJSON{
			ID: b.ID, Address: b.Address, User: b.User, State: b.State, Since: b.Since, Server: b.Server, Primary: b.Primary, Items: b.Items,
			Filed: b.Counts.Filed, NotFiled: b.Counts.NotFiled, Failed: b.Counts.Failed, Reasons: b.Counts.By, Off: b.Off,
		}
		if !b.Checked.IsZero() {
			j.Checked = &b.Checked
		}
		if b.Trouble != nil {
			j.Trouble = &troubleJSON{b.Trouble.Code, b.Trouble.Cause, b.Trouble.Message, b.Trouble.Advice}
		}
		if b.Watched() {
			j.Watch = &watchJSON{b.Watch.Mode, b.Watch.Why, b.Watch.Since, b.Watch.Every.Seconds()}
		}
		if b.Running {
			j.Progress = &progressJSON{b.Done, b.Progress.Total, b.Rate, b.ETA.Seconds()}
		}
		answer.Items = append(answer.Items, j)
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (s *server) apiLookNow(w http.ResponseWriter, r *http.Request) error {
	if err := s.LookNow(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// readJSON reads a body. The content type is insisted on: no form of another site can
// send it.
func readJSON(r *http.Request, v any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return problem{http.StatusUnsupportedMediaType, "not-json", "The body must be application/json", "", "Send the header Content-Type: application/json."}
	}
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	if err := in.Decode(v); err != nil {
		return problem{http.StatusBadRequest, "bad-json", "The body could not be read", err.Error(), "Send one JSON object with the fields that the documentation names."}
	}
	if _, err := in.Token(); err != io.EOF {
		return problem{http.StatusBadRequest, "bad-json", "The body could not be read", "There is something after the JSON object.", "Send one JSON object."}
	}
	return nil
}
