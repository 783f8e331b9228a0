package report

import (
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// Evidence is what can be shown of an organization's access to Exchange at a moment: what
// was decided, what holds, what was done, and what proves it. All of it is read from the
// running system; none of it is a secret.
type Evidence struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"` // of Postern

	Deployment  deploymentEvidence  `json:"deployment"`
	Connection  connectionEvidence  `json:"connection"`
	Sources     []sourceEvidence    `json:"source_addresses"` // that requests are to leave from; none = wherever the machine sends them
	Proxy       string              `json:"proxy,omitempty"`
	Policy      policyEvidence      `json:"policy"`
	Versions    []versionEvidence   `json:"policy_versions"` // the newest first
	FourEyes    fourEyesEvidence    `json:"four_eyes"`
	Kinds       []kindEvidence      `json:"kinds"`
	In          []mailboxEvidence   `json:"mailboxes_in"`
	Out         []mailboxEvidence   `json:"mailboxes_out"`
	Others      []strangeEvidence   `json:"other_mailboxes"`            // that the log tells of and the policy does not allow
	Operations  []operationEvidence `json:"operations"`                 // that can be sent at all
	Unknown     []operationEvidence `json:"operations_not_in_the_code"` // that the log tells of; there must be none
	Origins     []originEvidence    `json:"origins"`
	Check       *checkEvidence      `json:"last_check,omitempty"` // absent = none was run
	Probes      []probeEvidence     `json:"must_fail_probes"`     // the newest first
	Keys        keyEvidence         `json:"keys"`
	Audit       auditEvidence       `json:"audit"`
	Contacts    contactEvidence     `json:"security_contacts"`
	AccessDays  int                 `json:"access_log_days"`
	Differences int                 `json:"differences"` // between what holds and what was seen
}

// Unseen tells whether nothing was asked of Exchange yet and no check was run. That nothing
// differs shows nothing then.
func (e *Evidence) Unseen() bool { return len(e.Origins) == 0 && e.Check == nil }

type deploymentEvidence struct {
	Mode   crm.DeploymentMode `json:"mode"`
	Ranges []string           `json:"approved_private_ranges"`
}

type connectionEvidence struct {
	Enabled   bool          `json:"enabled"`
	Server    string        `json:"server"`
	Plain     bool          `json:"without_tls"` // by http, which is for a server on this machine alone
	Product   string        `json:"exchange"`    // the version that was chosen
	UserAgent string        `json:"user_agent"`
	Model     crm.AuthModel `json:"model"`
	Scheme    crm.Scheme    `json:"scheme"`
	Accounts  []string      `json:"accounts"`
	OwnRoots  bool          `json:"own_certificate_authorities"`
	ClientTLS bool          `json:"client_certificate"`
	Saved     time.Time     `json:"saved,omitzero"`
}

// LogOn says how the account logs on.
func (c *connectionEvidence) LogOn() string {
	words := c.Scheme.Words().Evidence
	if c.Plain {
		words = strings.Replace(words, "over TLS", "without TLS, on this machine", 1)
	}
	return words
}

type sourceEvidence struct {
	Address string    `json:"address"`
	Seen    string    `json:"seen_as,omitempty"` // by others
	From    time.Time `json:"from,omitzero"`
	Until   time.Time `json:"until,omitzero"`
}

type policyEvidence struct {
	Version int64           `json:"version"` // 0 = none was saved
	Saved   time.Time       `json:"saved,omitzero"`
	By      string          `json:"by,omitempty"`
	Fields  []fieldEvidence `json:"fields"`
}

type fieldEvidence struct {
	Field  string   `json:"field"`
	Title  string   `json:"title"`
	Values []string `json:"values"`
}

type versionEvidence struct {
	Version int64     `json:"version"`
	Saved   time.Time `json:"saved"`
	By      string    `json:"by"`
}

type kindEvidence struct {
	Kind  crm.Kind `json:"kind"`
	Title string   `json:"title"`
	Read  bool     `json:"read"`
}

type mailboxEvidence struct {
	Address mail.Address `json:"address"`
	Rule    string       `json:"rule"` // that lets it in or keeps it out
	Code    string       `json:"code,omitempty"`
	Day     time.Time    `json:"last_asked_for,omitzero"`
}

type strangeEvidence struct {
	Address mail.Address `json:"address"`
	Day     time.Time    `json:"last_asked_for"`
	Opened  bool         `json:"opened_since_policy"` // Exchange answered since the policy does not allow it: that must not be
}

type operationEvidence struct {
	Name     string    `json:"name"`
	Purpose  string    `json:"purpose,omitempty"`
	Reads    bool      `json:"reads_only"`
	Requests int       `json:"requests"`
	Failed   int       `json:"failed"`
	Tests    int       `json:"failed_in_tests"` // of those failed
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
}

// An originEvidence is what the access log saw, against what is set.
type originEvidence struct {
	Origin
	Probe       bool `json:"must_fail_probe"`      // the name under which the test of a filter asks
	OtherName   bool `json:"other_user_agent"`     // than the one that is set, and no probe
	OtherSource bool `json:"other_source"`         // than those that are set
	Answered    bool `json:"answered_since_saved"` // one of the two, and answered since the settings, or the addresses, were saved: that must not be
}

type checkEvidence struct {
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Findings int       `json:"findings"`
	Red      int       `json:"red"`
	Warnings int       `json:"warnings"`
}

// A probeEvidence is an attempt at what Exchange itself must refuse.
type probeEvidence struct {
	At      time.Time   `json:"at"`
	Code    string      `json:"code"`
	Step    string      `json:"step"`
	Result  ProbeResult `json:"result"`
	Detail  string      `json:"detail"`
	Current bool        `json:"current"` // the latest attempt of its kind that showed something
}

// A ProbeResult is what an attempt at what must fail showed.
type ProbeResult string

const (
	Refused  ProbeResult = "refused"   // as it should be
	LetIn    ProbeResult = "let-in"    // it must not be
	NotShown ProbeResult = "not-shown" // nothing can be said
)

type keyEvidence struct {
	Master   string    `json:"master"`
	Made     time.Time `json:"made"`
	Sealed   int       `json:"sealed_values"`
	Older    int       `json:"sealed_by_older_keys"`
	Shredded time.Time `json:"shredded,omitzero"`
}

type auditEvidence struct {
	OK         bool      `json:"ok"`
	Entries    int       `json:"entries"`
	Head       string    `json:"head,omitempty"`
	Checkpoint int64     `json:"checkpoint"`
	Signed     time.Time `json:"signed,omitzero"`
	Code       string    `json:"code,omitempty"`
	Why        string    `json:"why,omitempty"`
	Gaps       []gap     `json:"accepted_gaps,omitempty"`
	Sink       *sink     `json:"sink,omitempty"` // absent = no server beyond this machine is told the checkpoints
}

// A contactEvidence says who is told by mail what widens access, and what could not be told.
type contactEvidence struct {
	Addresses []mail.Address `json:"addresses"`
	Waiting   int            `json:"undelivered"` // words that wait, also for those who are contacts no more
	GivenUp   int            `json:"given_up"`
}
