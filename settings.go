package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"reflect"
	"strings"

	"postern/crm"
	"postern/ews"
)

// settingsCommand changes what is named and leaves the rest. Passwords come from a file
// or standard input, never from the command line.
type settingsCommand struct {
	dataFlags
	Enable       *bool    `help:"Collect mail." negatable:""`
	Server       *string  `help:"Host name or URL of the Exchange server."`
	Version      *string  `help:"Version of the server."`
	Login        *string  `help:"Account that reads the mailboxes."`
	Model        *string  `help:"By whom mailboxes are opened: impersonation, delegate or own (each user signs in to the own mailbox)."`
	Scheme       *string  `help:"Way to log on, and no other: any, ntlm, kerberos, basic or certificate."`
	PasswordFile string   `help:"File with the account's password; - = standard input."`
	Keytab       string   `help:"Keytab of the account, for Kerberos."`
	Krb5Conf     string   `name:"krb5-conf" help:"File that names the Kerberos realm and its servers."`
	Account      []string `sep:"none" placeholder:"LOGIN=FILE" help:"Further account over which the mailboxes are spread, and the file with its password or, under Kerberos, its keytab; LOGIN alone keeps that. Replaces the list; an empty text empties it."`
	ClientCert   string   `name:"client-certificate" help:"PEM file of a client certificate."`
	ClientKey    string   `help:"PEM file of its key."`
	Domain       []string `help:"Domain whose mailboxes are read; replaces the list."`
	UserAgent    *string  `help:"User-Agent sent with every request."`
	Gzip         *bool    `help:"Ask the server for compressed answers." negatable:""`
	RootCAs      string   `name:"root-cas" help:"PEM file of authorities to trust besides the system's."`
}

func (s *settingsCommand) Run(c *common) error {
	shows := reflect.DeepEqual(*s, settingsCommand{dataFlags: s.dataFlags})
	st, org, err := s.makeTo(!shows, c)
	if err != nil {
		return err
	}
	defer st.Close()
	kept, _, err := org.Settings(c.ctx)
	if err != nil {
		return err
	}
	next, changed, err := s.apply(kept)
	if err != nil {
		return err
	}
	if changed {
		checked, wrong := next.Check(ews.Connector(), kept)
		if err := refuseFields(c, "settings-invalid", wrong); err != nil {
			return err
		}
		if err := org.SaveSettings(c.ctx, checked); err != nil {
			return err
		}
		kept = checked
	}
	showSettings(c, kept)
	return nil
}

func showSettings(c *common, s crm.Settings) {
	sealed := func(secret crm.Secret) string {
		if secret.Empty() {
			return "none"
		}
		return "kept sealed"
	}
	var others []string
	for _, a := range s.Others {
		others = append(others, a.Login)
	}
	fmt.Fprintf(c.out, "enable      %v\nserver      %s\nversion     %s\nmodel       %s\nscheme      %s\nlogin       %s\npassword    %s\n",
		s.Enabled, s.Server, s.Version, s.Model.Words().Name, s.Scheme.Words().Name, s.Login, sealed(s.Password))
	if !s.Keytab.Empty() || s.Scheme == crm.Kerberos {
		fmt.Fprintf(c.out, "keytab      %s\n", sealed(s.Keytab))
	}
	if len(others) > 0 {
		fmt.Fprintf(c.out, "accounts    %s\n", strings.Join(others, ", "))
	}
	if s.ClientCertificate != "" {
		fmt.Fprintf(c.out, "client key  %s\n", sealed(s.ClientKey))
	}
	fmt.Fprintf(c.out, "domains     %s\nuser-agent  %s\ngzip        %v\n", strings.Join(s.Domains, ", "), s.UserAgent, s.Gzip)
}

// choose sets what a flag names; an unknown name is left for Check to refuse.
func choose[T interface {
	~string
	Words() crm.Words
}](among []T, flag *string, to *T) (chosen bool) {
	if flag == nil {
		return false
	}
	*to = T(*flag)
	for _, v := range among {
		if v.Words().Name == *flag {
			*to = v
		}
	}
	return true
}

// apply returns the settings with what was named on the command line.
func (s *settingsCommand) apply(kept crm.Settings) (next crm.Settings, changed bool, err error) {
	next = kept.WithoutSecrets()
	for _, f := range []struct {
		from *string
		to   *string
	}{{s.Server, &next.Server}, {s.Version, &next.Version}, {s.Login, &next.Login}, {s.UserAgent, &next.UserAgent}} {
		if f.from != nil {
			*f.to, changed = *f.from, true
		}
	}
	for _, f := range []struct {
		from *bool
		to   *bool
	}{{s.Enable, &next.Enabled}, {s.Gzip, &next.Gzip}} {
		if f.from != nil {
			*f.to, changed = *f.from, true
		}
	}
	if s.Domain != nil {
		next.Domains, changed = s.Domain, true
	}
	files, err := s.applyFiles(&next)
	return next, changed || files, err
}

// applyFiles takes what stands in files, and how mailboxes are opened.
func (s *settingsCommand) applyFiles(next *crm.Settings) (changed bool, err error) {
	changed = choose(crm.AuthModels, s.Model, &next.Model)
	changed = choose(crm.Schemes, s.Scheme, &next.Scheme) || changed
	for _, f := range []struct {
		flag, file string
		take       func(text []byte)
	}{
		{"--keytab", s.Keytab, func(text []byte) { next.Keytab = crm.NewSecret(base64.StdEncoding.EncodeToString(text)) }},
		{"--krb5-conf", s.Krb5Conf, func(text []byte) { next.KDC = string(text) }},
		{"--client-certificate", s.ClientCert, func(text []byte) { next.ClientCertificate = string(text) }},
		{"--client-key", s.ClientKey, func(text []byte) { next.ClientKey = crm.NewSecret(string(text)) }},
		{"--root-cas", s.RootCAs, func(text []byte) { next.RootCAs = string(text) }},
	} {
		if f.file == "" {
			continue
		}
		text, err := os.ReadFile(f.file)
		if err != nil {
			return false, badArgument(fmt.Sprintf("The file of %s cannot be read: %v.", f.flag, err), "Name a file that can be read by "+f.flag+".", err)
		}
		f.take(text)
		changed = true
	}
	if s.PasswordFile != "" {
		if next.Password, err = readSecret(s.PasswordFile); err != nil {
			return false, err
		}
		changed = true
	}
	if s.Account != nil {
		next.Others, err = s.accounts(next.Scheme)
		changed = true
	}
	return changed, err
}

// accounts reads the further accounts.
func (s *settingsCommand) accounts(scheme crm.Scheme) (list []crm.Account, err error) {
	for _, text := range s.Account {
		login, file, _ := strings.Cut(text, "=")
		a := crm.Account{Login: login}
		switch {
		case file == "":
		case scheme == crm.Kerberos:
			keytab, err := os.ReadFile(file)
			if err != nil {
				return nil, badArgument(fmt.Sprintf("The keytab of %s cannot be read: %v.", login, err), "Name a file that can be read by --account LOGIN=FILE.", err)
			}
			a.Keytab = crm.NewSecret(base64.StdEncoding.EncodeToString(keytab))
		default:
			if a.Password, err = readSecret(file); err != nil {
				return nil, err
			}
		}
		list = append(list, a)
	}
	return list, nil
}

// readSecret reads a password from a file or standard input, without the line end.
func readSecret(file string) (crm.Secret, error) {
	text, err := readArgument(file)
	if err != nil {
		return crm.Secret{}, badArgument(fmt.Sprintf("The password cannot be read: %v.", err), "Name a file that holds it by --password-file, or - for the standard input.", err)
	}
	return crm.NewSecret(strings.TrimRight(string(text), "\r\n")), nil
}
