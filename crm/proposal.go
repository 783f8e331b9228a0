package crm

import (
	"fmt"
	"time"
)

// A Proposal is a change that widens access and was not made: where an organization asks
// for four eyes, it waits until somebody else approves it. See store/proposal.go.
type Proposal struct {
	ID      int64 // 1, 2, 3 … within the organization
	Kind    ProposalKind
	State   ProposalState
	Who     Principal // who proposed it, and may not approve it
	By      string    // the same, in words
	At      time.Time
	Expires time.Time // by itself, unless somebody decides before
	Effects []Effect  // what it does

	Closed   time.Time // when it was decided; zero while it waits
	ClosedBy string
}

// An Effect is what the audit log is to say of a proposal once it is approved. A proposal
// that would do anything else by then is stale.
type Effect struct {
	Action  string `json:"action"`
	Subject string `json:"subject,omitempty"`
	Detail  string `json:"detail"`
	Widens  bool   `json:"widens"`
}

// Name is how the audit log calls a proposal.
func (p Proposal) Name() string { return fmt.Sprintf("proposal %d", p.ID) }

// Waits tells whether somebody may still approve it.
func (p Proposal) Waits() bool { return p.State == ProposalWaiting }

// ProposalKind says what a proposal changes.
type ProposalKind string

const (
	PolicyProposal    ProposalKind = "policy"
	SettingsProposal  ProposalKind = "settings"
	EgressProposal    ProposalKind = "egress"
	GroupProposal     ProposalKind = "group"
	UsersProposal     ProposalKind = "users"
	LimitsProposal    ProposalKind = "user-limits"
	RetentionProposal ProposalKind = "retention"
	FourEyesProposal  ProposalKind = "four-eyes"
	ContactsProposal  ProposalKind = "security-contacts"
)

// Title says the kind to people.
func (k ProposalKind) Title() string {
	switch k {
	case PolicyProposal:
		return "Policy"
	case SettingsProposal:
		return "Email settings"
	case EgressProposal:
		return "Addresses"
	case GroupProposal:
		return "Members of a group"
	case UsersProposal:
		return "Users"
	case LimitsProposal:
		return "Limits of a user"
	case RetentionProposal:
		return "Retention of the access log"
	case FourEyesProposal:
		return "Four eyes"
	case ContactsProposal:
		return "Security contacts"
	}
	return string(k)
}

// ProposalState is what became of a proposal.
type ProposalState string

const (
	ProposalWaiting   ProposalState = "waiting"
	ProposalApproved  ProposalState = "approved"
	ProposalRejected  ProposalState = "rejected"
	ProposalWithdrawn ProposalState = "withdrawn" // by whoever proposed it
	ProposalStale     ProposalState = "stale"     // what it was made of is another by now
	ProposalExpired   ProposalState = "expired"   // nobody decided in time
)
