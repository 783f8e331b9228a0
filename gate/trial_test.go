package gate

import (
	"context"
	"testing"

	"postern/crm"
	"postern/mail"
)

// TestTryEndsWithWhatItWasGranted: a test that waits for the server ends when something that
// held as it began is taken away, and with nothing else.
func TestTryEndsWithWhatItWasGranted(t *testing.T) {
	const outside = mail.Address("eve@other.example")
	for name, test := range map[string]struct {
		change func(*Terms)
		ends   bool
	}{
		"mailbox":          {func(t *Terms) { t.Policy.Deny = []crm.Selector{crm.Selector(ann)} }, true},
		"domain":           {func(t *Terms) { t.Policy.Domains = []string{"b.example"} }, true},
		"kind":             {func(t *Terms) { t.Policy.Kinds = nil }, true},
		"folder":           {func(t *Terms) { t.Policy.ExcludedFolders = []string{"inbox"} }, true},
		"user's limits":    {func(t *Terms) { t.Limits = map[mail.Address]crm.Limits{ann: {HeadersOnly: true}} }, true},
		"connection":       {func(t *Terms) { t.Settings.Enabled = false }, true},
		"account":          {func(t *Terms) { t.Settings.Login = "another" }, true},
		"proxy":            {func(t *Terms) { t.Egress.Proxy = "http://proxy.example:3128" }, true},
		"ranges":           {func(t *Terms) { t.Deployment.Mode = crm.OnPremises }, true},
		"own sign-in":      {func(t *Terms) { t.SignIns = nil }, true},
		"all":              {func(t *Terms) { *t = Terms{} }, true},
		"another mailbox":  {func(t *Terms) { t.Policy.Deny = []crm.Selector{crm.Selector(bob)} }, false},
		"one from outside": {func(t *Terms) { t.Policy.Deny = []crm.Selector{crm.Selector(outside)} }, false},
		"more":             {func(t *Terms) { t.Policy.Kinds = append(t.Policy.Kinds, crm.Task) }, false},
		"User-Agent":       {func(t *Terms) { t.Settings.UserAgent = "Another/1" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := New(Config{})
			terms := granting(true, "acme.example")
			terms.Settings.Model = crm.ByOwnSignIn
			terms.SignIns = map[mail.Address]crm.Account{ann: {Login: "ann", Password: crm.NewSecret("x")}}
			g.Set(terms)
			err := g.Try(t.Context(), []mail.Address{ann, outside}, func(ctx context.Context) error {
				g.Set(terms)
				if ctx.Err() != nil {
					t.Fatal("the same terms ended it")
				}
				test.change(&terms)
				g.Set(terms)
				return ctx.Err()
			})
			switch {
			case test.ends && (err == nil || crm.AsFault(err).Code != "test-ended"):
				t.Errorf("it ended with %v, want test-ended", err)
			case !test.ends && err != nil:
				t.Errorf("it ended with %v, want it to go on", err)
			}
		})
	}
}
