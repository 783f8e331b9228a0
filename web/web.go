package web

import (
	"context"
	"embed"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/mail"
	"postern/store"
)

// Config is what the pages need. All but MailServer and Hint must be set.
type Config struct {
	Org       *store.Org
	Connector crm.Connector
	Log       *slog.Logger
	Now       func() time.Time

	// What the engine does, with the signatures of its methods.
	LookNow        func(ctx context.Context, ids ...crm.MailboxID) error
	Test           func(ctx context.Context, s crm.Settings, tell func(crm.Finding)) error
	NextCheck      func(ctx context.Context) (engine.CheckUp, error)
	Check          func(ctx context.Context, up engine.CheckUp, tell func(crm.Finding)) (*store.Check, error)
	Discover       func(ctx context.Context, box mail.Address, s crm.Settings, confirmed string, tell func(crm.Finding)) (server string, err error)
	Progress       func(id crm.MailboxID) (p engine.Progress, running bool)
	Watch          func(id crm.MailboxID) crm.Watch
	Budgets        func() []crm.Budget
	Trouble        func() (f *crm.Fault, since time.Time) // why nothing can be written down; nil = it can
	LoadAttachment func(ctx context.Context, id int64) error
	Original       func(ctx context.Context, viewer crm.UserID, id crm.MessageID) (io.ReadCloser, error)

	HasAddress func(a netip.Addr) (bool, error) // whether this machine has an address

	MailServer string // that takes word for the security contacts; "" = none, and nobody is told

	Hint string // shown on the sign-in page of a demonstration
}

//go:embed assets
var assetFiles embed.FS

// server holds what is put together once, when the program starts.
type server struct {
	Config
	pages    *pages
	assets   *assets
	hashing  hasher
	attempts *attempts
	failures *failures
	counted  counted
	checking sync.Mutex // a check that a shared page asked for is under way
}

// New returns the handler of all pages and of the API.
func New(c Config) (http.Handler, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	return s.handler(), nil
}

func newServer(c Config) (*server, error) {
	s := &server{Config: c, hashing: newHasher(), attempts: newAttempts(c.Now), failures: newFailures(c.Now)}
	var err error
	if s.assets, err = loadAssets(assetFiles); err != nil {
		return nil, fmt.Errorf("load the style sheet and script: %w", err)
	}
	if s.pages, err = parsePages(c.Now, s.assets); err != nil {
		return nil, fmt.Errorf("parse the pages: %w", err)
	}
	return s, nil
}

func (s *server) handler() http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(s.route(anybody, func(http.ResponseWriter, *http.Request) error {
		return problem{http.StatusForbidden, "cross-origin", "This request came from another site", "Only pages of Postern itself may change anything.", "Open Postern in its own tab and do it there."}
	}))
	return s.guard(cross.Handler(s.routes()))
}

// settingsPath is where an administrator finds the connection: System → Configuration →
// Integrations → Email settings.
const settingsPath = "/system/configuration/integrations/email"

func (s *server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	on := func(pattern string, who role, do action) { mux.Handle(pattern, s.route(who, do)) }

	mux.Handle("GET /assets/{name}", s.assets)
	on("GET /sign-in", anybody, s.signInForm)
	on("POST /sign-in", anybody, s.signIn)
	on("POST /sign-out", anybody, s.signOut)

	on("GET /{$}", signedIn, s.home)
	on("GET /mails", signedIn, s.mails)
	on("GET /search", signedIn, s.search)
	on("GET /contacts", signedIn, s.contacts)
	on("POST /contacts", administrator, s.newContact)
	on("GET /contacts/new", administrator, s.newContactForm)
	on("GET /contacts/{id}", signedIn, s.contact)
	on("GET /contacts/{id}/edit", administrator, s.editContactForm)
	on("POST /contacts/{id}/edit", administrator, s.editContact)
	on("GET /users", signedIn, s.users)
	on("GET /users/{id}", signedIn, s.user)
	on("POST /users/{id}/password", administrator, s.setPassword)
	on("GET /messages/{id}", signedIn, s.message)
	on("GET /messages/{id}/body", signedIn, s.messageBody)
	on("GET /messages/{id}/original", signedIn, s.original)
	on("GET /messages/{id}/attachments/{attachment}", signedIn, s.attachment)
	on("GET /mailboxes", administrator, s.mailboxes)
	on("GET /mailboxes/{id}", signedIn, s.mailbox)
	on("POST /mailboxes/look", administrator, s.lookNow)
	on("GET /not-filed", signedIn, s.notFiled)
	on("GET /quarantine", administrator, s.quarantine)
	on("POST /quarantine/try", administrator, s.tryNow)
	on("POST /quarantine/leave", administrator, s.leave)
	s.accessRoutes(on)
	s.auditRoutes(on)
	s.egressRoutes(on)
	s.policyRoutes(on)
	s.proposalRoutes(on)
	s.myMailboxRoutes(on)
	on("GET /system/configuration", administrator, redirectTo(settingsPath))
	on("GET "+settingsPath, administrator, s.settingsForm)
	on("POST "+settingsPath, administrator, s.saveSettingsForm)

	on("GET /api/mails", signedIn, s.apiMails)
	on("GET /api/search", signedIn, s.apiSearch)
	on("GET /api/contacts", signedIn, s.apiContacts)
	on("GET /api/contacts/{id}/activities", signedIn, s.apiContactActivities)
	on("GET /api/users", signedIn, s.apiUsers)
	on("GET /api/users/{id}/activities", signedIn, s.apiUserActivities)
	on("GET /api/messages/{id}", signedIn, s.apiMessage)
	on("GET /api/mailboxes", administrator, s.apiMailboxes)
	on("POST /api/mailboxes/look", administrator, s.apiLookNow)
	on("GET /api/quarantine", administrator, s.apiQuarantine)
	on("POST /api/quarantine/try", administrator, s.apiTryNow)
	on("POST /api/quarantine/leave", administrator, s.apiLeave)
	on("GET /api/alerts", administrator, s.apiAlerts)
	on("GET /api/settings", administrator, s.apiSettings)
	on("PUT /api/settings", administrator, s.apiSaveSettings)
	on("POST /api/settings/test", administrator, s.apiTestSettings)
	on("POST /api/settings/find", administrator, s.apiFind)

	on("/", signedIn, func(http.ResponseWriter, *http.Request) error { return errNoPage })
	return mux
}

// A role is who may open a route; each includes those after it.
type role int

const (
	anybody role = iota
	signedIn
	administrator
)

// An action answers a request, or says why not; see errors.go for how that is shown.
type action func(w http.ResponseWriter, r *http.Request) error

// route looks at who asks, then acts.
func (s *server) route(who role, do action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		viewer, err := s.viewer(r)
		if err == nil {
			r = withViewer(r, viewer)
			switch {
			case who >= signedIn && viewer == nil:
				err = errSignIn
			case who == administrator && !viewer.Admin:
				err = errNotAdmin
			default:
				err = do(w, r)
			}
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

// bodyLimit is more than any form or API call of ours needs (certificates are the longest).
const bodyLimit = 1 << 20

// guard sets what every answer carries, bounds what is read, and outlives a panic.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if secure(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				s.fail(w, r, fmt.Errorf("panic: %v", p))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// secure tells whether the reader came by https, be it through a proxy.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// ownAddress is this server's address as the reader has it.
func ownAddress(r *http.Request) string {
	if secure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func redirectTo(path string) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, path, http.StatusSeeOther)
		return nil
	}
}
