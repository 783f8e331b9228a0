package crm

import (
	"context"

	"postern/mail"
)

// A Directory is a Source that knows who belongs to a group.
type Directory interface {
	Source
	// Members lists the addresses of those who belong to a group, also by way of groups in
	// it. It lists all of them or none: a list that may lack somebody is a Fault, and so is
	// a group that is not there.
	Members(ctx context.Context, group mail.Address) ([]mail.Address, error)
}
