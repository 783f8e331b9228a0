package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// sessionTime is how long a sign-in lasts.
const sessionTime = 12 * time.Hour

// cookieName carries the prefix that makes browsers refuse the cookie over plain http and
// for other paths or domains, wherever there is https.
func cookieName(r *http.Request) string {
	if secure(r) {
		return "__Host-postern"
	}
	return "postern"
}

func setCookie(w http.ResponseWriter, r *http.Request, token string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: token, Path: "/", MaxAge: int(age.Seconds()),
		HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteLaxMode,
	})
}

type viewerKey struct{}

// stranger acts in the audit log where nobody is signed in.
const stranger = "nobody signed in"

// withViewer has the user, or a stranger, be who does what the request does.
func withViewer(r *http.Request, u *crm.User) *http.Request {
	ctx := crm.WithActor(r.Context(), stranger)
	if u != nil {
		ctx = crm.WithUser(r.Context(), u)
	}
	return r.WithContext(context.WithValue(ctx, viewerKey{}, u))
}

// viewerOf returns who is signed in; nil for nobody.
func viewerOf(r *http.Request) *crm.User {
	u, _ := r.Context().Value(viewerKey{}).(*crm.User)
	return u
}

// refreshHeader marks what a page fetches by itself.
const refreshHeader = "Postern-Refresh"

// viewer finds the user of the request's session; nil without one.
func (s *server) viewer(r *http.Request) (*crm.User, error) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil || cookie.Value == "" {
		return nil, nil
	}
	user, err := s.Org.Session(r.Context(), cookie.Value, r.Header.Get(refreshHeader) != "")
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return user, err
}

type signInData struct {
	Address, Next, Hint string
	Refused             string // why, in words that tell nothing about the account
}

func (s *server) signInForm(w http.ResponseWriter, r *http.Request) error {
	if viewerOf(r) != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	next := r.URL.Query().Get("next")
	return s.show(w, r, http.StatusOK, "sign-in", page{Title: "Sign in", Data: signInData{Next: next, Hint: s.Hint}})
}

// signIn answers alike, and after like work, whether the account is unknown, has no
// password or the password is wrong.
func (s *server) signIn(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	form := signInData{Address: r.PostForm.Get("address"), Next: r.PostForm.Get("next"), Hint: s.Hint}
	refuse := func(status int, why string) error {
		form.Refused = why
		return s.show(w, r, status, "sign-in", page{Title: "Sign in", Data: form})
	}
	account, from := strings.ToLower(strings.TrimSpace(form.Address)), remoteHost(r)
	if wait := s.attempts.take(account, from); wait > 0 {
		if err := s.audit(r.Context(), s.failures.note(account, from)...); err != nil {
			return err
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		return refuse(http.StatusTooManyRequests, "Too many attempts. Try again in "+span(wait)+".")
	}
	user, err := s.checkPassword(r.Context(), account, r.PostForm.Get("password"))
	if err != nil {
		return err
	}
	if user == nil {
		if err := s.audit(r.Context(), s.failures.note(account, from)...); err != nil {
			return err
		}
		return refuse(http.StatusUnauthorized, "Address and password do not go together. Check both; passwords are set by an administrator.")
	}
	s.attempts.forget(account, from)
	ctx := crm.WithUser(r.Context(), user)
	if err := s.audit(ctx, append(s.failures.over(), crm.AuditEntry{Action: "sign-in", Detail: "from " + from})...); err != nil {
		return err
	}
	token, err := s.Org.NewSession(r.Context(), user.ID, sessionTime)
	if err != nil {
		return err
	}
	setCookie(w, r, token, sessionTime)
	http.Redirect(w, r, localPath(form.Next), http.StatusSeeOther)
	return nil
}

// checkPassword returns the user whom address and password belong to; nil when they do not
// go together.
func (s *server) checkPassword(ctx context.Context, account, password string) (*crm.User, error) {
	var user *crm.User
	hash := ""
	if address, err := mail.ParseAddress(account); err == nil {
		user, hash, err = s.Org.SignIn(ctx, address)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	ok, err := s.hashing.matches(ctx, hash, password)
	if err != nil || !ok {
		return nil, err
	}
	return user, nil
}

// audit writes entries that belong to no change of the store, also when the reader has left:
// who guesses passwords does not stay for the answer.
func (s *server) audit(ctx context.Context, entries ...crm.AuditEntry) error {
	ctx = context.WithoutCancel(ctx)
	for _, e := range entries {
		if err := s.Org.Audit(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request) error {
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		if err := s.Org.EndSession(r.Context(), cookie.Value); err != nil {
			return err
		}
	}
	if viewerOf(r) != nil {
		if err := s.audit(r.Context(), crm.AuditEntry{Action: "sign-out"}); err != nil {
			return err
		}
	}
	setCookie(w, r, "", -time.Second)
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	return nil
}

// localPath keeps a redirect after sign-in on this server.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return "/"
	}
	return next
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
