package main

import (
	"fmt"
	"os"
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
	PasswordFile string   `help:"File with the account's password; - = standard input."`
	Domain       []string `help:"Domain whose mailboxes are read; replaces the list."`
	UserAgent    *string  `help:"User-Agent sent with every request."`
	Gzip         *bool    `help:"Ask the server for compressed answers." negatable:""`
	RootCAs      string   `name:"root-cas" help:"PEM file of authorities to trust besides the system's."`
}

func (s *settingsCommand) Run(c *common) error {
	st, org, err := s.make(c, false)
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
		if len(wrong) > 0 {
			for _, w := range wrong {
				fmt.Fprintf(c.errOut, "postern: %s: %s [%s]\n", w.Field, w.Message, w.Code)
			}
			return &crm.Fault{Verdict: crm.Refused, Code: "settings-invalid", Message: "Nothing was saved.",
				Advice: "Correct the fields named above and give all of them again."}
		}
		if err := org.SaveSettings(c.ctx, checked); err != nil {
			return err
		}
		kept = checked
	}
	fmt.Fprintf(c.out, "enable      %v\nserver      %s\nversion     %s\nlogin       %s\npassword    %s\ndomains     %s\nuser-agent  %s\ngzip        %v\n",
		kept.Enabled, kept.Server, kept.Version, kept.Login, map[bool]string{true: "none", false: "kept sealed"}[kept.Password.Empty()],
		strings.Join(kept.Domains, ", "), kept.UserAgent, kept.Gzip)
	return nil
}

// apply returns the settings with what was named on the command line.
func (s *settingsCommand) apply(kept crm.Settings) (next crm.Settings, changed bool, err error) {
	next = kept
	next.Password = crm.Secret{} // kept by Check unless it would go elsewhere
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
	if s.PasswordFile != "" {
		text, err := readSecret(s.PasswordFile)
		if err != nil {
			return next, false, err
		}
		next.Password, changed = text, true
	}
	if s.RootCAs != "" {
		pem, err := os.ReadFile(s.RootCAs)
		if err != nil {
			return next, false, badArgument(fmt.Sprintf("The file of authorities cannot be read: %v.", err), "Name a PEM file by --root-cas.", err)
		}
		next.RootCAs, changed = string(pem), true
	}
	return next, changed, nil
}

// readSecret reads a password from a file or standard input, without the line end.
func readSecret(file string) (crm.Secret, error) {
	if file == "-" {
		file = "/dev/stdin"
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return crm.Secret{}, badArgument(fmt.Sprintf("The password cannot be read: %v.", err), "Name a file that holds it by --password-file, or - for the standard input.", err)
	}
	return crm.NewSecret(strings.TrimRight(string(text), "\r\n")), nil
}
