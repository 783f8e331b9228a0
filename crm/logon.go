package crm

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
)

// AuthModels and Schemes are what there is to choose from.
var (
	AuthModels = []AuthModel{ByImpersonation, ByDelegation, ByOwnSignIn}
	Schemes    = []Scheme{AnyScheme, NTLM, Kerberos, Basic, ClientTLS}
)

// Words are how a model or a scheme is said, wherever it is: one that is added gets its words
// for all places here.
type Words struct {
	Name     string // on the command line
	Title    string // in a list to choose from
	Audit    string // in the audit log
	Evidence string // in the evidence; of a scheme: where the server is asked over TLS
	Decision string // of a model: as what was decided; the same worded otherwise is decided anew
}

// Words says the model.
func (m AuthModel) Words() Words {
	switch m {
	case ByImpersonation:
		return Words{"impersonation", "Service account that impersonates the owners", "by impersonation",
			"by service accounts that act as their owners (impersonation)", "service account that acts as the owners"}
	case ByDelegation:
		return Words{"delegate", "Service account to which the mailboxes were opened", "as delegate",
			"by service accounts to which they were opened (delegation)", "service account to which mailboxes are opened"}
	case ByOwnSignIn:
		return Words{"own", "Each user signs in to the own mailbox", "by each user's own sign-in",
			"by each user’s own sign-in, for the own mailbox alone", "each user’s own sign-in"}
	}
	return Words{string(m), string(m), string(m), string(m), string(m)}
}

// Words says the scheme.
func (s Scheme) Words() Words {
	switch s {
	case AnyScheme:
		return Words{"any", "NTLM, else Basic", "NTLM or Basic", "NTLM, else Basic over TLS", ""}
	case NTLM:
		return Words{"ntlm", "NTLM only", "ntlm", "NTLM, and nothing else", ""}
	case Kerberos:
		return Words{"kerberos", "Kerberos only", "kerberos", "Kerberos, and nothing else", ""}
	case Basic:
		return Words{"basic", "Basic only", "basic", "Basic over TLS, and nothing else", ""}
	case ClientTLS:
		return Words{"certificate", "Client certificate only", "certificate", "client certificate, and nothing else", ""}
	}
	return Words{string(s), string(s), string(s), string(s), ""}
}

// Logins are those of all service accounts, the first one first.
func (s Settings) Logins() (list []string) {
	for _, a := range append([]Account{{Login: s.Login}}, s.Others...) {
		if a.Login != "" {
			list = append(list, a.Login)
		}
	}
	return list
}

// A complaint tells what is wrong with a field.
type complaint func(field, code, format string, args ...any)

// checkLogOn completes and judges how mailboxes are opened, and by which accounts. Secrets
// left empty are those that are kept, unless they would go elsewhere.
func (s *Settings) checkLogOn(kept Settings, wrong complaint) {
	if !slices.Contains(AuthModels, s.Model) {
		wrong("model", "unknown", "There is no such way to open mailboxes: %q.", s.Model)
	}
	if !slices.Contains(Schemes, s.Scheme) {
		wrong("scheme", "unknown", "There is no way %q to log on.", s.Scheme)
	}
	s.KDC = oneForm(s.KDC)
	further := s.Further(kept)
	s.checkCertificate(kept, further, wrong)
	if s.Scheme == Kerberos && s.KDC == "" && s.Enabled {
		wrong("kdc", "required", "Enter the Kerberos realm and its servers, as in the file krb5.conf.")
	}
	if s.Model == ByOwnSignIn {
		// The users' own credentials take their place: what serves nothing is not kept.
		s.Login, s.Password, s.Keytab, s.Others = "", Secret{}, Secret{}, nil
		if s.Scheme == ClientTLS {
			wrong("scheme", "unfit", "One client certificate cannot stand for each user: choose another way to log on, or a service account.")
		}
		return
	}
	first := Account{s.Login, s.Password, s.Keytab}
	s.checkAccount(&first, Account{kept.Login, kept.Password, kept.Keytab}, further, fieldsOfFirst, wrong)
	s.Login, s.Password, s.Keytab = first.Login, first.Password, first.Keytab
	s.checkOthers(kept, further, wrong)
}

// Further says by what of s the secrets that were saved with kept would go further than they
// were saved to go: to another server or Kerberos server, to a stranger for whom a further
// authority vouches, or by a way to log on that shows more of them. "" = no further. Such
// secrets are not used until they are typed again, be it to save s or to try it. It holds for
// passwords, keytabs and the client certificate's key, which Check completes, and for the
// users' own sign-ins, which a gate lends to a test. A further domain leads no log-on
// elsewhere, but a search: see CheckSearch.
func (s Settings) Further(kept Settings) (by string) {
	trusted := authorities(kept.RootCAs)
	switch {
	case s.Server != kept.Server:
		return "The server"
	case oneForm(s.KDC) != oneForm(kept.KDC):
		return "The Kerberos realm"
	case slices.ContainsFunc(authorities(s.RootCAs), func(a string) bool { return !slices.Contains(trusted, a) }):
		return "Who vouches for the server"
	case s.Scheme.shows() > kept.Scheme.shows():
		return "The way to log on"
	}
	return ""
}

// authorities are the certificates in a PEM text.
func authorities(text string) (list []string) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		list = append(list, string(block.Bytes))
	}
	return list
}

// shows ranks the schemes by what the server may learn of a password: nothing, nothing but
// what proves it to Kerberos, what a weak one can be guessed by, the password itself.
func (s Scheme) shows() int {
	switch s {
	case ClientTLS:
		return 0
	case Kerberos:
		return 1
	case NTLM:
		return 2
	}
	return 3
}

// CheckSearch returns the settings by which the server of the mailboxes in their domains is
// looked for, or what is wrong with them. A search shows credentials to hosts of the domains,
// and to the server that is set, or confirmed. Kept ones therefore go to domains that were
// saved with them: for another, as for another host, they are to be typed again.
func (s Settings) CheckSearch(c Connector, kept Settings, confirmed string) (Settings, []FieldError) {
	if confirmed != "" {
		if bad := CheckHost(confirmed); bad != nil {
			return s, []FieldError{*bad}
		}
		if !strings.EqualFold(confirmed, s.Host()) {
			s.Server = confirmed
		}
	}
	domains, _ := checkDomains(s.Domains)
	if slices.ContainsFunc(domains, func(d string) bool { return !slices.Contains(kept.Domains, d) }) {
		kept = Settings{}
	}
	s.Enabled = false // few of the fields are needed
	s, wrong := s.Check(c, kept)
	s.Others = slices.DeleteFunc(slices.Clone(s.Others), Account.Empty)
	switch first := (Account{s.Login, s.Password, s.Keytab}); {
	case len(wrong) > 0:
	case len(s.Domains) == 0:
		wrong = append(wrong, FieldError{"domains", "required", "Enter the domain of your mailboxes: the server is looked for by what it publishes."})
	case s.Login != "" && first.Empty() && s.Scheme != ClientTLS:
		wrong = append(wrong, FieldError{"password", "required-again", "Enter the password again: it may be sent to servers that it was not saved for."})
	}
	return s, wrong
}

// WithoutSecrets returns the settings as a form has them before anything is typed: Check
// completes what is left empty.
func (s Settings) WithoutSecrets() Settings {
	s.Password, s.Keytab, s.ClientKey = Secret{}, Secret{}, Secret{}
	s.Others = slices.Clone(s.Others)
	for i := range s.Others {
		s.Others[i] = Account{Login: s.Others[i].Login}
	}
	return s
}

// oneForm is a text as it is kept, whatever ends its lines: browsers change that.
func oneForm(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
}

// accountFields names the fields of an account in a form.
type accountFields struct{ login, password, keytab string }

var (
	fieldsOfFirst  = accountFields{"login", "password", "keytab"}
	fieldsOfOthers = accountFields{"others", "others", "others"}
)

// checkAccount judges one service account and completes its secrets, unless kept ones would
// go further.
func (s *Settings) checkAccount(a *Account, kept Account, further string, field accountFields, wrong complaint) {
	a.Login = strings.TrimSpace(a.Login)
	switch {
	case a.Login == "" && s.Enabled:
		wrong(field.login, "required", "Enter the account that reads the mailboxes, for example ACME\\svc-postern.")
	case hasControl(a.Login):
		wrong(field.login, "malformed", "The login holds a control character; type it again.")
	case a.Login != "" && s.Scheme == Kerberos && (!strings.Contains(a.Login, "@") || strings.Contains(a.Login, `\`)):
		wrong(field.login, "malformed", "Kerberos wants the account as user@REALM, for example svc-postern@ACME.EXAMPLE.")
	}
	if text := strings.Join(strings.Fields(a.Keytab.Reveal()), ""); text != a.Keytab.Reveal() {
		a.Keytab = NewSecret(text)
	}
	if file, err := base64.StdEncoding.DecodeString(a.Keytab.Reveal()); !a.Keytab.Empty() && (err != nil || len(file) < 2 || file[0] != 5) {
		wrong(field.keytab, "malformed", "This is no keytab in base64; make it by: base64 -w0 FILE.keytab.")
	}
	if further == "" && a.Login != kept.Login {
		further = "The login"
	}
	if a.Password.Empty() && a.Keytab.Empty() && further == "" {
		a.Password, a.Keytab = kept.Password, kept.Keytab
	}
	switch {
	case !s.Enabled || s.Scheme == ClientTLS || !a.Password.Empty() || s.Scheme == Kerberos && !a.Keytab.Empty():
	case s.Scheme == Kerberos && further != "" && !kept.Keytab.Empty():
		wrong(field.keytab, "required-again", "%s changed: enter the keytab again, so that the old one is not used elsewhere.", further)
	case s.Scheme == Kerberos:
		wrong(field.keytab, "required", "Enter the keytab of the account, or its password.")
	case further != "" && !kept.Password.Empty():
		wrong(field.password, "required-again", "%s changed: enter the password again, so that the old one is not sent elsewhere.", further)
	default:
		wrong(field.password, "required", "Enter the password of the account.")
	}
}

// CheckSignIn judges what a user enters to open the own mailbox.
func CheckSignIn(login, password string) []FieldError {
	var errs []FieldError
	wrong := func(field, code, message string) { errs = append(errs, FieldError{field, code, message}) }
	switch {
	case login == "":
		wrong("login", "required", "Enter your Exchange login, for example ACME\\ann or ann@acme.example.")
	case hasControl(login) || len(login) > maxHeader:
		wrong("login", "malformed", "The login holds a control character or is too long; type it again.")
	}
	if password == "" {
		wrong("password", "required", "Enter your Exchange password.")
	}
	return errs
}

// checkOthers judges the further accounts; rows without a login are left out.
func (s *Settings) checkOthers(kept Settings, further string, wrong complaint) {
	var list []Account
	seen := []string{strings.ToLower(s.Login)}
	for _, a := range s.Others {
		if a.Login = strings.TrimSpace(a.Login); a.Login == "" {
			if !a.Password.Empty() || !a.Keytab.Empty() {
				wrong("others", "required", "A further account has no login.")
			}
			continue
		}
		if slices.Contains(seen, strings.ToLower(a.Login)) {
			wrong("others", "twice", "The account %s is there twice.", a.Login)
			continue
		}
		seen = append(seen, strings.ToLower(a.Login))
		var before Account
		if i := slices.IndexFunc(kept.Others, func(b Account) bool { return b.Login == a.Login }); i >= 0 {
			before = kept.Others[i]
		}
		s.checkAccount(&a, before, further, fieldsOfOthers, func(field, code, format string, args ...any) {
			wrong(field, code, "%s", a.Login+": "+fmt.Sprintf(format, args...))
		})
		list = append(list, a)
	}
	if s.Scheme == ClientTLS && len(list) > 0 {
		wrong("others", "unfit", "A client certificate stands for one account: leave the further accounts out.")
	}
	s.Others = list
}

// checkCertificate judges the client certificate. Its key is kept as long as it fits and goes
// no further; where the certificate is the log-on, it also names the account if nothing else
// does.
func (s *Settings) checkCertificate(kept Settings, further string, wrong complaint) {
	s.ClientCertificate = oneForm(s.ClientCertificate)
	if s.ClientCertificate == "" {
		s.ClientKey = Secret{}
		if s.Scheme == ClientTLS && s.Enabled {
			wrong("client_certificate", "required", "Enter the client certificate and its key.")
		}
		return
	}
	fits := s.ClientCertificate == kept.ClientCertificate && !kept.ClientKey.Empty()
	switch {
	case !s.ClientKey.Empty():
	case fits && further == "":
		s.ClientKey = kept.ClientKey
	case fits:
		wrong("client_key", "required-again", "%s changed: enter the key of the client certificate again, so that the old one is not used elsewhere.", further)
		return
	default:
		wrong("client_key", "required", "Enter the key of the client certificate.")
		return
	}
	pair, err := tls.X509KeyPair([]byte(s.ClientCertificate), []byte(s.ClientKey.Reveal()))
	if err != nil {
		wrong("client_certificate", "malformed", "Certificate and key do not belong together, or one of them is not PEM. A key must not be encrypted.")
		return
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err == nil && s.Scheme == ClientTLS && strings.TrimSpace(s.Login) == "" {
		s.Login = leaf.Subject.CommonName
	}
}
