package sim

import (
	"bytes"
	"crypto/sha256"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// clockSkew is how far a client's clock may be off, as directories have it.
const clockSkew = 5 * time.Minute

// accepted is what the server says when a Kerberos log-on is complete.
const accepted = "oRQwEqADCgEAoQsGCSqGSIb3EgECAg=="

// readKeytab reads the keys that tickets for this server are made with; none is nil.
func readKeytab(raw []byte) (*keytab.Keytab, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	kt := keytab.New()
	return kt, kt.Unmarshal(raw)
}

// kerberos takes a client's ticket, within SPNEGO or bare, and sets the account. Each
// ticket's proof is good for one log-on.
//
// https://www.rfc-editor.org/rfc/rfc4559
func (c *call) kerberos(l LogOn, conn *connection, token []byte) {
	request, ok := ticketOf(token)
	if !ok || l.keys == nil {
		return
	}
	right, err := request.Verify(l.keys, clockSkew, types.HostAddress{}, nil)
	if err != nil || !right || !l.protects(boundTo(request), true, conn.leaf) || !c.x.fresh(request) {
		return
	}
	name := request.Ticket.DecryptedEncPart.CName.PrincipalNameString()
	for _, login := range []string{name + "@" + request.Ticket.DecryptedEncPart.CRealm, l.Domain + `\` + name, name} {
		if !c.x.knows(login) {
			continue
		}
		if c.account = c.x.signInBy(login, func(string) bool { return true }); c.account != nil {
			conn.signed, conn.scheme = c.account.Login, Negotiate
			c.record.Scheme = Negotiate
			c.w.Header().Set("WWW-Authenticate", string(Negotiate)+" "+accepted)
		}
		return
	}
}

// ticketOf reads a client's message.
func ticketOf(token []byte) (*messages.APReq, bool) {
	var wrapped spnego.SPNEGOToken
	if wrapped.Unmarshal(token) == nil && wrapped.Init {
		token = wrapped.NegTokenInit.MechTokenBytes
	}
	var bare spnego.KRB5Token
	if bare.Unmarshal(token) != nil || !bare.IsAPReq() {
		return nil, false
	}
	return &bare.APReq, true
}

// boundTo is the hash of the channel that the log-on is bound to, nil for none.
//
// https://www.rfc-editor.org/rfc/rfc4121#section-4.1.1
func boundTo(request *messages.APReq) []byte {
	sum := request.Authenticator.Cksum
	const from, to = 4, 20
	if sum.CksumType != chksumtype.GSSAPI || len(sum.Checksum) < to || bytes.Equal(sum.Checksum[from:to], make([]byte, to-from)) {
		return nil
	}
	return sum.Checksum[from:to]
}

// fresh tells whether this very proof was not seen before.
func (x *Exchange) fresh(request *messages.APReq) bool {
	digest := sha256.Sum256(request.EncryptedAuthenticator.Cipher)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.proofs[digest] {
		return false
	}
	if x.proofs == nil {
		x.proofs = map[[sha256.Size]byte]bool{}
	}
	x.proofs[digest] = true
	return true
}
