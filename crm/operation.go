package crm

// An Operation is a kind of request that a connector sends. What is not in its list it
// cannot send.
type Operation struct {
	Name    string // in the protocol's words
	Purpose string // what it is for, in one line
	Reads   bool   // it changes nothing in a mailbox
}
