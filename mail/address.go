package mail

// An Address is an e-mail address in the form in which addresses are compared:
// local part case-folded, domain a lower-case A-label, no quotes that are not needed.
// "" is no address.
type Address string

// Direction of a message as seen from the company.
type Direction string

const (
	Inbound  Direction = "in"
	Outbound Direction = "out"
)
