package crm

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"postern/mail"
)

// A Transport is the way of a source to its server, and the only one there is: no
// connector opens a connection by itself. The gate makes it of what the organization
// granted, and asks the policy anew whenever it is used.
type Transport interface {
	Traffic
	// Dial opens a connection to host:port from one of the organization's addresses or
	// through its proxy. A host that was not granted, an address behind the host that
	// must not be reached, and an address of our own that this machine does not have are
	// Faults; nothing was sent then.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Resolve looks a host up as Dial does, for a test that shows each step.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
	// TLS returns how a connection to the host is secured: the authorities trusted, the
	// host's name, our certificate where one is asked for. The caller may change its copy.
	TLS(host string) *tls.Config
	// UserAgent is what every request carries, as it is set at this moment.
	UserAgent() string
	// Account returns whose credentials open a mailbox; "" = the connection as such.
	Account(box mail.Address) (Account, error)
	// Record writes a request down, refused and repeated ones included.
	Record(Access)
}

// An Account is what to log on with.
type Account struct {
	Login    string
	Password Secret
	Keytab   Secret // for Kerberos in place of a password: the file in base64
}

// Equal tells whether two are the same login with the same secrets.
func (a Account) Equal(b Account) bool {
	return a.Login == b.Login && a.Password.Equal(b.Password) && a.Keytab.Equal(b.Keytab)
}

// Empty tells whether there is nothing to log on with.
func (a Account) Empty() bool { return a.Login == "" || a.Password.Empty() && a.Keytab.Empty() }

// An Access is one request that left for Exchange, as the access log has it.
type Access struct {
	At              time.Time
	Took            time.Duration // until the answer was read
	Mailbox         mail.Address  // whose; "" when the account acted for itself
	Operation       string        // in the protocol's words
	Folder          string        // the source's id or the distinguished name of the folder; "" when not about one
	Items           int           // asked for by id, or returned in a list
	Sent, Received  int64         // bytes, headers included
	UserAgent       string        // as sent
	Source          string        // address that it left from
	Host            string        // that it went to, with the port
	Account         string        // login shown
	RequestID       string        // client-request-id, to be found in the server's log
	ServerRequestID string        // request-id, as the server answered
	Status          int           // HTTP; 0 when there was no answer
	Code            string        // Exchange's code, or ours, when it was refused as a whole
	Hanging         bool          // stayed open to wait for notifications
	Test            bool          // of the connection test or the search for a server, which ask for what may be refused
}

// A Deployment is what the operator decided about the installation as a whole. No
// administrator of an organization can change it.
type Deployment struct {
	Mode DeploymentMode
	// Ranges are private addresses that connections may lead to, as 10.20.0.0/16. Public
	// ones need no permission, unless Mode is OnPremises.
	Ranges []netip.Prefix
}

// DeploymentMode says for whom the installation is.
type DeploymentMode string

const (
	MultiTenant  DeploymentMode = "multi"       // several organizations
	SingleTenant DeploymentMode = "single"      // one; a second is refused
	OnPremises   DeploymentMode = "on-premises" // one, and nothing is contacted but the servers that it configured
)

// An Egress says from where the requests of an organization leave. With neither addresses
// nor a proxy they leave from wherever the machine sends them.
type Egress struct {
	Addresses     []EgressAddress
	Proxy         string // http://, https:// or socks5://host:port, without a login
	ProxyLogin    string
	ProxyPassword Secret
	Saved         time.Time // kept by the store; zero = never
}

// An EgressAddress is one address of the pool. Firewalls may be told of it before it is
// in use, and for as long after.
type EgressAddress struct {
	Local  netip.Addr // of this machine
	Public netip.Addr // as others see it, behind address translation; zero = Local
	From   time.Time  // in use from then on; zero = always was
	Until  time.Time  // and until then; zero = no end
}
