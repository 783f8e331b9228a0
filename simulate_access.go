package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/mail"
	"postern/sim"
)

// simAccess are the flags of the simulated Exchange that say who gets in, and how.
type simAccess struct {
	TLS             bool     `name:"tls" help:"Speak TLS, by a certificate of an authority made for the occasion."`
	CA              string   `name:"ca" help:"File to write that authority's certificate to, as PEM, for clients to trust; with --tls." type:"path"`
	Name            []string `help:"Name that the certificate is for, besides localhost and the address."`
	LogOn           []string `name:"log-on" help:"How to sign in, in the order of the offer: Basic, NTLM, Negotiate." default:"Basic"`
	Protection      string   `help:"Extended Protection of NTLM and Kerberos log-ons: off, allow or require." default:"off" enum:"off,allow,require"`
	Kerberos        string   `help:"Folder to write a krb5.conf to, and a keytab for each service account: there is a realm then, of the company's name, that gives tickets; with Negotiate in --log-on." type:"path"`
	UserPassword    string   `help:"Let the owner of each mailbox sign in by the address, with this password; none = service accounts alone."`
	Delegate        []string `help:"Share a mailbox: MAILBOX:LOGIN:LEVEL, or MAILBOX:LOGIN:LEVEL:FOLDER,FOLDER with roles such as inbox; levels FolderVisible, Reviewer, Editor, FullAccess." sep:"none"`
	Group           []string `help:"Distribution group: ADDRESS:MEMBER,MEMBER. --account takes group=ADDRESS in place of a mailbox." sep:"none"`
	AllowAgent      []string `help:"Only programs whose User-Agent is like this may use EWS: NAME/*." sep:"none"`
	BlockAgent      []string `help:"Programs whose User-Agent is like this may not use EWS." sep:"none"`
	NoEWS           bool     `name:"no-ews" help:"Switch EWS off for the organization. Accounts with a mailbox of their own keep it."`
	AutodiscoverFor []string `name:"autodiscover" help:"What Autodiscover says: WHOM=JSON, with an address, @DOMAIN or nothing as WHOM, and the fields that the control face takes, such as {\"hops\":100}." sep:"none"`

	centre *sim.Realm // of --kerberos
}

// close ends what arrange began.
func (s *simAccess) close() {
	if s.centre != nil {
		s.centre.Close()
	}
}

// arrange carries the flags out. The mailboxes and the accounts are there already.
func (s *simAccess) arrange(x *sim.Exchange, accounts []sim.Account, company string) error {
	no := func(what string, err error) error {
		return badArgument(fmt.Sprintf("The simulated Exchange cannot be made so: %v.", err), "postern sim --help shows how "+what+" is written.", err)
	}
	logOn := sim.LogOn{Protection: sim.Protection(s.Protection)}
	if s.Protection == "off" {
		logOn.Protection = sim.ProtectionOff
	}
	for _, scheme := range s.LogOn {
		logOn.Schemes = append(logOn.Schemes, sim.Scheme(scheme))
	}
	if s.Kerberos != "" {
		keys, err := s.realm(accounts, company)
		if err != nil {
			return no("--kerberos", err)
		}
		logOn.Keytab = keys
	}
	if err := x.SetLogOn(logOn); err != nil {
		return no("--log-on", err)
	}
	if s.UserPassword != "" {
		for _, box := range x.Mailboxes() {
			x.AddAccount(sim.Account{Login: string(box.Address()), Password: s.UserPassword, NoRole: true})
		}
	}
	for _, text := range s.Group {
		if err := setGroup(x, text); err != nil {
			return err
		}
	}
	for _, text := range s.Delegate {
		if err := share(x, text); err != nil {
			return no("--delegate", err)
		}
	}
	for _, text := range s.AutodiscoverFor {
		whom, what, _ := strings.Cut(text, "=")
		var d sim.Discovery
		if err := json.Unmarshal([]byte(what), &d); err != nil {
			return no("--autodiscover", err)
		}
		x.Discover(whom, d)
	}
	return s.govern(x, accounts)
}

// realm starts a Kerberos realm and returns the key of the server in it. Its service goes by
// the first of the server's names.
func (s *simAccess) realm(accounts []sim.Account, company string) ([]byte, error) {
	realm, err := sim.NewRealm(company, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.centre = realm
	service := "HTTP/" + append(slices.Clone(s.Name), "localhost")[0]
	if err := realm.Set(service, rand.Text()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Kerberos, 0o755); err != nil {
		return nil, err
	}
	for _, a := range accounts {
		name, _, _ := strings.Cut(a.Login[strings.LastIndexByte(a.Login, '\\')+1:], "@")
		if err := realm.Set(name, a.Password); err != nil {
			return nil, err
		}
		keys, err := realm.Keytab(name)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(s.Kerberos, name+".keytab"), keys, 0o600); err != nil {
			return nil, err
		}
	}
	_, domain, _ := strings.Cut(strings.TrimPrefix(service, "HTTP/"), ".")
	if domain == "" {
		domain = "localhost"
	}
	if err := os.WriteFile(filepath.Join(s.Kerberos, "krb5.conf"), []byte(realm.Config(domain)), 0o644); err != nil {
		return nil, err
	}
	return realm.Keytab(service)
}

// govern sets who may use EWS, and by which programs.
func (s *simAccess) govern(x *sim.Exchange, accounts []sim.Account) error {
	g := sim.Governance{}
	switch {
	case len(s.AllowAgent) > 0 && len(s.BlockAgent) > 0:
		return badArgument("Exchange enforces one list: those allowed or those blocked.", "Leave --allow-agent or --block-agent out.", nil)
	case len(s.AllowAgent) > 0:
		g.Policy, g.Programs = sim.EnforceAllowList, s.AllowAgent
	case len(s.BlockAgent) > 0:
		g.Policy, g.Programs = sim.EnforceBlockList, s.BlockAgent
	}
	if s.NoEWS {
		g.EWS = new(false)
		for _, a := range accounts {
			if box := x.Mailbox(mail.Address(strings.ToLower(a.Login))); box != nil {
				if err := box.Govern(sim.Governance{EWS: new(true)}); err != nil {
					return err
				}
			}
		}
	}
	return x.Govern(g)
}

func setGroup(x *sim.Exchange, text string) error {
	name, members, _ := strings.Cut(text, ":")
	address, err := parseAddress(name)
	if err != nil {
		return err
	}
	group := sim.Group{Address: address}
	for text := range strings.SplitSeq(members, ",") {
		if text == "" {
			continue
		}
		member, err := parseAddress(text)
		if err != nil {
			return err
		}
		group.Members = append(group.Members, member)
	}
	x.SetGroup(group)
	return nil
}

func share(x *sim.Exchange, text string) error {
	parts := strings.SplitN(text, ":", 4)
	if len(parts) < 3 {
		return fmt.Errorf("%q says not who may do what in which mailbox", text)
	}
	box := x.Mailbox(mail.Address(strings.ToLower(parts[0])))
	if box == nil {
		return fmt.Errorf("there is no mailbox %s", parts[0])
	}
	var folders []*sim.Folder
	if len(parts) == 4 {
		for role := range strings.SplitSeq(parts[3], ",") {
			folders = append(folders, box.Folder(sim.Role(role)))
		}
	}
	return box.Share(parts[1], sim.Level(parts[2]), folders...)
}

// front makes the certificate, if there is to be one, for the address to listen on.
func (s *simAccess) front(host string) (sim.Front, error) {
	if !s.TLS {
		if s.CA != "" {
			return sim.Front{}, badArgument("There is no authority without TLS.", "Add --tls, or leave --ca out.", nil)
		}
		return sim.Front{}, nil
	}
	authority, err := sim.NewAuthority("Simulated Exchange")
	if err != nil {
		return sim.Front{}, err
	}
	certificate, err := authority.Certificate(sim.Wish{Names: append([]string{"localhost", host}, s.Name...)})
	if err != nil {
		return sim.Front{}, err
	}
	if s.CA != "" {
		if err := os.WriteFile(s.CA, authority.PEM(), 0o644); err != nil {
			return sim.Front{}, badArgument(fmt.Sprintf("The authority's certificate cannot be written: %v.", err), "Name a file in a folder that may be written to by --ca.", err)
		}
	}
	return sim.Front{Certificate: &certificate, ClientRoots: authority.Pool()}, nil
}
