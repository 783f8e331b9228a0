package report

import (
	"context"
	"time"

	"postern/crm"
	"postern/store"
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

// fourEyesEvidence says whether one person alone can widen access, and what was proposed.
type fourEyesEvidence struct {
	On        bool       `json:"on"`
	Since     time.Time  `json:"since,omitzero"`
	By        string     `json:"by,omitempty"`
	Admins    int        `json:"administrators"` // who can sign in, and so approve
	Proposals []Proposal `json:"proposals"`      // those that wait, then those that were decided last
}

func (e *Evidence) gatherFourEyes(ctx context.Context, org *store.Org, _ crm.Connector) error {
	f, err := org.FourEyes(ctx)
	if err != nil {
		return err
	}
	e.FourEyes = fourEyesEvidence{f.On(), f.Since, f.By, f.Admins, []Proposal{}}
	list, err := org.Proposals(ctx)
	for _, p := range list {
		e.FourEyes.Proposals = append(e.FourEyes.Proposals, NewProposal(p))
	}
	return err
}
