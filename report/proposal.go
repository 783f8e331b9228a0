package report

import (
	"time"

	"postern/crm"
)

// A Proposal is a change that waits, or waited, for a second person, as other programs
// read it.
type Proposal struct {
	ID       int64             `json:"id"`
	Kind     crm.ProposalKind  `json:"kind"`
	State    crm.ProposalState `json:"state"`
	By       string            `json:"proposed_by"`
	At       time.Time         `json:"proposed_at"`
	Expires  time.Time         `json:"expires_at"`
	Effects  []crm.Effect      `json:"effects"`
	Closed   time.Time         `json:"closed_at,omitzero"`
	ClosedBy string            `json:"closed_by,omitempty"`
}

// NewProposal puts a proposal so.
func NewProposal(p crm.Proposal) Proposal {
	return Proposal{p.ID, p.Kind, p.State, p.By, p.At, p.Expires, p.Effects, p.Closed, p.ClosedBy}
}
