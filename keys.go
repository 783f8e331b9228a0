package main

import (
	"fmt"
	"os"
	"strings"

	"postern/crm"
	"postern/kms"
	"postern/store"
)

type keysCommand struct {
	Status       keysStatus       `cmd:"" default:"withargs" help:"Show by which keys secrets are sealed."`
	Rotate       keysRotate       `cmd:"" help:"Make a new data key, seal everything anew by it, and destroy the old one. Postern may run meanwhile."`
	RotateMaster keysRotateMaster `cmd:"" help:"Change the master key, or where it is kept."`
	Shred        keysShred        `cmd:"" help:"Destroy an organization's keys. What they sealed can never be read again."`
}

func (keysCommand) Help() string {
	return `The master key is the file "key" of the data folder, unless the environment names another:
POSTERN_MASTER_KEY (32 bytes in base64), POSTERN_MASTER_KEY_FILE (a file that holds them), or
POSTERN_KMS (a key of HashiCorp Vault's transit engine, hcvault://HOST:PORT/transit/keys/NAME,
with VAULT_TOKEN or VAULT_TOKEN_FILE, VAULT_NAMESPACE and VAULT_CACERT).`
}

type keysStatus struct{ folderFlags }

func (k *keysStatus) Run(c *common) error {
	st, err := k.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	list, err := st.Orgs(c.ctx)
	if err != nil {
		return err
	}
	w := table(c.out)
	fmt.Fprintln(w, "ORGANIZATION\tMASTER KEY\tDATA KEY\tMADE\tSEALED VALUES\tSTATE")
	for _, o := range list {
		s, err := st.Org(o.ID).Keys(c.ctx)
		if err != nil {
			return err
		}
		state := "well"
		switch {
		case !s.Shredded.IsZero():
			state = "destroyed " + clock(s.Shredded)
		case len(s.Older) > 0:
			state = fmt.Sprintf("a rotation has not ended, %d values by older keys: postern keys rotate ends it", s.Left)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\n", o.Name, s.Master, s.Key, clock(s.Made), s.Values, state)
	}
	return w.Flush()
}

type keysRotate struct{ dataFlags }

func (k *keysRotate) Run(c *common) error {
	st, org, err := k.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	n, err := org.RotateKeys(c.ctx)
	if err != nil {
		return err
	}
	s, err := org.Keys(c.ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "sealed %d values anew; the data key is %d, older ones are destroyed\n", n, s.Key)
	return nil
}

type keysRotateMaster struct {
	folderFlags
	ToFile bool   `help:"Keep the new one in the file \"key\" of the data folder." xor:"to"`
	ToKey  string `help:"File that holds the new one, 32 bytes in base64, which POSTERN_MASTER_KEY or POSTERN_MASTER_KEY_FILE will give from then on." type:"existingfile" xor:"to"`
	ToKMS  string `help:"Address of a key in a KMS, which POSTERN_KMS will name from then on." name:"to-kms" xor:"to"`
}

func (k *keysRotateMaster) Run(c *common) error {
	to, err := k.target()
	if err != nil {
		return err
	}
	st, err := k.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.RotateMaster(c.ctx, to); err != nil {
		return err
	}
	if to == nil {
		fmt.Fprintln(c.out, `all keys are wrapped by a new master key, in the file "key" of the data folder; back it up apart from the database`)
		return nil
	}
	fmt.Fprintf(c.out, "all keys are wrapped by the master key in the %s; start Postern with it, and destroy the old one, with its backups, when copies of the database from before are to be unreadable\n", to.Name)
	return nil
}

func (k *keysRotateMaster) target() (*store.Master, error) {
	switch {
	case k.ToKMS != "":
		return masterInKMS(k.ToKMS)
	case k.ToKey != "":
		return masterInFile(k.ToKey)
	case k.ToFile || !masterElsewhere():
		return nil, nil
	}
	return nil, badArgument("The master key is not in the data folder, so a new one cannot be made there by itself.", "Say where the new one is: --to-key FILE, --to-kms ADDRESS, or --to-file to keep it in the data folder.", nil)
}

type keysShred struct {
	folderFlags
	Name string `arg:"" help:"Name of the organization, as postern orgs lists it. This cannot be undone."`
}

func (k *keysShred) Run(c *common) error {
	st, err := k.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	org, err := st.FindOrg(c.ctx, k.Name)
	if err != nil {
		return err
	}
	if err := org.ShredKeys(c.ctx); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "the keys are destroyed; backups from before hold them still, wrapped by the master key: postern keys rotate-master, and destroy the old one")
	return nil
}

// masterElsewhere tells whether the environment names a master key.
func masterElsewhere() bool {
	return os.Getenv("POSTERN_MASTER_KEY")+os.Getenv("POSTERN_MASTER_KEY_FILE")+os.Getenv("POSTERN_KMS") != ""
}

// master returns the master key that the environment names; nil = the file of the data folder.
func master() (*store.Master, error) {
	text, file, address := os.Getenv("POSTERN_MASTER_KEY"), os.Getenv("POSTERN_MASTER_KEY_FILE"), os.Getenv("POSTERN_KMS")
	named := 0
	for _, s := range []string{text, file, address} {
		if s != "" {
			named++
		}
	}
	switch {
	case named > 1:
		return nil, badArgument("The environment names more than one master key.", "Leave one of POSTERN_MASTER_KEY, POSTERN_MASTER_KEY_FILE and POSTERN_KMS.", nil)
	case text != "":
		return store.NewMaster("environment", text)
	case file != "":
		return masterInFile(file)
	case address != "":
		return masterInKMS(address)
	}
	return nil, nil
}

func masterInFile(path string) (*store.Master, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, badArgument(fmt.Sprintf("The master key cannot be read: %v.", err), "Name a file that holds it, readable by the account that runs Postern alone.", err)
	}
	return store.NewMaster("file "+path, string(text))
}

func masterInKMS(address string) (*store.Master, error) {
	c := kms.Credentials{Token: crm.NewSecret(os.Getenv("VAULT_TOKEN")), Namespace: os.Getenv("VAULT_NAMESPACE")}
	if file := os.Getenv("VAULT_TOKEN_FILE"); file != "" && c.Token.Empty() {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, badArgument(fmt.Sprintf("The token for the KMS cannot be read: %v.", err), "Name a file that holds it by VAULT_TOKEN_FILE.", err)
		}
		c.Token = crm.NewSecret(strings.TrimSpace(string(text)))
	}
	if file := os.Getenv("VAULT_CACERT"); file != "" {
		var err error
		if c.RootCAs, err = os.ReadFile(file); err != nil {
			return nil, badArgument(fmt.Sprintf("The authorities of the KMS cannot be read: %v.", err), "Name a PEM file by VAULT_CACERT.", err)
		}
	}
	client, err := kms.New(c)
	if err != nil {
		return nil, badArgument("The authorities of the KMS cannot be used: "+err.Error()+".", "Name a PEM file by VAULT_CACERT.", err)
	}
	a, err := client.GetAEAD(address)
	if err != nil {
		return nil, err
	}
	return &store.Master{Name: address, AEAD: a}, nil
}
