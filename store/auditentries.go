package store

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
)

// changes gathers what an entry of the audit log says, one line for each difference.
type changes struct {
	lines  []string
	widens bool
}

// note adds a difference between two texts; widens says whether more is allowed by it.
func (c *changes) note(what, old, now string, widens bool) {
	if old != now {
		c.say(what+": "+orNone(old)+" → "+orNone(now), widens)
	}
}

// noteSecret adds that a secret is another, not what it is.
func (c *changes) noteSecret(what string, old, now crm.Secret) {
	switch {
	case old.Equal(now):
	case now.Empty():
		c.say(what+": taken away", false)
	case old.Empty():
		c.say(what+": set", false)
	default:
		c.say(what+": changed", false)
	}
}

// noteList adds what came to a list, and what left it.
func (c *changes) noteList(what string, old, now []string, widens bool) {
	for _, s := range now {
		if !slices.Contains(old, s) {
			c.say(what+" added: "+s, widens)
		}
	}
	for _, s := range old {
		if !slices.Contains(now, s) {
			c.say(what+" removed: "+s, false)
		}
	}
}

func (c *changes) say(line string, widens bool) {
	c.lines = append(c.lines, line)
	c.widens = c.widens || widens
}

func (c *changes) entry(action, subject string) crm.AuditEntry {
	if len(c.lines) == 0 {
		c.lines = []string{"saved unchanged"}
	}
	return crm.AuditEntry{Action: action, Subject: subject, Detail: strings.Join(c.lines, "\n"), Widens: c.widens}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// settingsEntry says what a connection's settings were and are. Another server or account
// may open other mailboxes, a way to log on that is not pinned may be weaker, and a
// further authority may vouch for a stranger: all of these widen. What is taken away does not,
// the users' own sign-ins among it.
func settingsEntry(old, now crm.Settings, endsSignIns bool) crm.AuditEntry {
	var c changes
	c.note("collecting", onOff(old.Enabled), onOff(now.Enabled), now.Enabled)
	c.note("server", old.Server, now.Server, now.Server != "")
	c.note("version", old.Version, now.Version, false)
	c.note("mailboxes are opened", old.Model.Words().Audit, now.Model.Words().Audit, true)
	c.note("log-on", old.Scheme.Words().Audit, now.Scheme.Words().Audit, now.Scheme == crm.AnyScheme || now.Scheme == crm.Basic || (now.Scheme == crm.ClientTLS) != (old.Scheme == crm.ClientTLS))
	c.note("account", old.Login, now.Login, now.Login != "")
	c.note("account by its certificate", certificateAccount(old), certificateAccount(now), certificateAccount(now) != "")
	c.noteSecret("password", old.Password, now.Password)
	c.noteSecret("keytab", old.Keytab, now.Keytab)
	c.noteList("further account", logins(old.Others), logins(now.Others), true)
	for _, a := range now.Others {
		if i := slices.IndexFunc(old.Others, func(b crm.Account) bool { return a.Login == b.Login }); i >= 0 {
			c.noteSecret("password of "+a.Login, old.Others[i].Password, a.Password)
			c.noteSecret("keytab of "+a.Login, old.Others[i].Keytab, a.Keytab)
		}
	}
	if old.KDC != now.KDC {
		c.say("Kerberos realm: changed", now.KDC != "")
		c.noteList("Kerberos realm, line", textLines(old.KDC), textLines(now.KDC), true)
	}
	c.noteList("client certificate", certificates(old.ClientCertificate), certificates(now.ClientCertificate), false)
	c.noteSecret("client certificate's key", old.ClientKey, now.ClientKey)
	c.noteList("domain", old.Domains, now.Domains, true)
	c.note("User-Agent", old.UserAgent, now.UserAgent, false)
	c.note("compressed answers", onOff(old.Gzip), onOff(now.Gzip), false)
	c.noteList("trusted authority", certificates(old.RootCAs), certificates(now.RootCAs), true)
	if endsSignIns {
		c.say("users' own sign-ins: taken away", false)
	}
	return c.entry("settings.save", "")
}

// certificateAccount names the certificate where it is the log-on, whatever login stands
// beside it: another one is another account.
func certificateAccount(s crm.Settings) string {
	names := certificates(s.ClientCertificate)
	if s.Scheme != crm.ClientTLS || len(names) == 0 {
		return ""
	}
	return names[0]
}

func textLines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// certificates names those of a PEM file so that who reads the log, or approves them, can
// tell which they are.
func certificates(file string) (names []string) {
	for block, rest := pem.Decode([]byte(file)); block != nil; block, rest = pem.Decode(rest) {
		name := "unreadable"
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			name = c.Subject.String()
		}
		names = append(names, fmt.Sprintf("%q, SHA-256 %x", name, sha256.Sum256(block.Bytes)))
	}
	return names
}

func logins(list []crm.Account) (names []string) {
	for _, a := range list {
		names = append(names, a.Login)
	}
	return names
}

// noteUser adds what of a user concerns access: by which addresses mail is the user's, of
// which the first names the mailbox that is read, and who is an administrator.
func (c *changes) noteUser(old *crm.User, now crm.User) {
	var was, is crm.User // nobody who is not active can do or gets anything
	if old != nil && old.Active {
		was = *old
	}
	if now.Active {
		is = now
	}
	who := now.Actor()
	c.noteList(who+": address", words(was.Addresses), words(is.Addresses), true)
	if len(was.Addresses) > 0 && len(is.Addresses) > 0 {
		c.note(who+": mailbox", string(was.Addresses[0]), string(is.Addresses[0]), true)
	}
	switch {
	case is.Admin && !was.Admin:
		c.say("administrator added: "+who, true)
	case was.Admin && !is.Admin:
		c.say("administrator removed: "+who, false)
	}
}

// auditUsers writes down that users were saved, unless nothing came of it.
func (o *Org) auditUsers(ctx context.Context, t *tx, list []crm.User, s Saved, access changes) error {
	if s.New+s.Changed == 0 {
		return nil
	}
	var c changes
	c.say(fmt.Sprintf("%d new, %d changed, %d as before", s.New, s.Changed, s.Same), access.widens)
	c.lines = append(c.lines, access.lines...)
	subject := ""
	if len(list) == 1 {
		subject = person(list[0].Name, list[0].Addresses)
	}
	return o.audit(ctx, t, c.entry("users.save", subject))
}

// auditContacts writes down that contacts were saved, unless nothing came of it.
func (o *Org) auditContacts(ctx context.Context, t *tx, list []crm.Contact, s Saved) error {
	if s.New+s.Changed == 0 {
		return nil
	}
	e := crm.AuditEntry{Action: "contacts.save", Detail: fmt.Sprintf("%d new, %d changed, %d as before", s.New, s.Changed, s.Same)}
	if len(list) == 1 {
		e.Subject = list[0].Name
	}
	return o.audit(ctx, t, e)
}

// userName names a user for the log.
func (o *Org) userName(ctx context.Context, q querier, id crm.UserID) (string, error) {
	u, err := first(o.users(ctx, q, []int64{int64(id)}))
	if err != nil {
		return "", err
	}
	return u.Actor(), nil
}

func person(name string, addresses []mail.Address) string {
	return (&crm.User{Name: name, Addresses: addresses}).Actor()
}
