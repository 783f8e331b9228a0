package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// A Realm is a Kerberos realm with its key distribution centre, which a company's directory
// would be: it gives tickets to those who know their password, for the services that it
// knows. It speaks over TCP, with AES-256 alone.
//
// https://www.rfc-editor.org/rfc/rfc4120
type Realm struct {
	name string // in capitals

	mu      sync.Mutex
	keys    *keytab.Keytab
	known   map[string]string // passwords by principal
	tickets int
	open    map[net.Conn]bool

	listener net.Listener
	done     sync.WaitGroup
}

const (
	keyVersion   = 1
	ticketLife   = 10 * time.Hour
	maxKerberos  = 64 << 10
	kerberosWait = 10 * time.Second
)

// NewRealm makes a realm, whose centre listens at an address such as "127.0.0.1:0" until
// Close.
func NewRealm(name, address string) (*Realm, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	r := &Realm{name: strings.ToUpper(name), keys: keytab.New(), known: map[string]string{}, open: map[net.Conn]bool{}, listener: l}
	if err := r.Set("krbtgt/"+r.name, fmt.Sprintf("of %s", l.Addr())); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	r.done.Go(r.accept)
	return r, nil
}

// Set adds a user ("svc-crm") or a service ("HTTP/mail.company.example"), or changes its
// password.
func (r *Realm) Set(principal, password string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[principal] = password
	return r.rebuild()
}

// rebuild makes the keys from the passwords.
func (r *Realm) rebuild() error {
	keys := keytab.New()
	for principal, password := range r.known {
		if err := keys.AddEntry(principal, r.name, password, time.Now(), keyVersion, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
			return err
		}
	}
	r.keys = keys
	return nil
}

// Keytab is the file with the key of one principal.
func (r *Realm) Keytab(principal string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	password, ok := r.known[principal]
	if !ok {
		return nil, fmt.Errorf("there is no principal %s", principal)
	}
	keys := keytab.New()
	if err := keys.AddEntry(principal, r.name, password, time.Now(), keyVersion, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		return nil, err
	}
	return keys.Marshal()
}

// Config is what a client needs to know, as a krb5.conf; domain is that of the services.
func (r *Realm) Config(domain string) string {
	return fmt.Sprintf(`[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  dns_lookup_realm = false
  udp_preference_limit = 1
  default_tkt_enctypes = aes256-cts-hmac-sha1-96
  default_tgs_enctypes = aes256-cts-hmac-sha1-96
  permitted_enctypes = aes256-cts-hmac-sha1-96
[realms]
  %[1]s = {
    kdc = %[2]s
  }
[domain_realm]
  %[3]s = %[1]s
  .%[3]s = %[1]s
`, r.name, r.listener.Addr(), domain)
}

// Tickets is how many tickets for services were given out.
func (r *Realm) Tickets() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tickets
}

// Close ends the centre.
func (r *Realm) Close() error {
	err := r.listener.Close()
	r.mu.Lock()
	for conn := range r.open {
		conn.Close()
	}
	r.mu.Unlock()
	r.done.Wait()
	return err
}

func (r *Realm) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return // until Close
		}
		r.mu.Lock()
		r.open[conn] = true
		r.mu.Unlock()
		r.done.Go(func() {
			r.serve(conn)
			conn.Close()
			r.mu.Lock()
			delete(r.open, conn)
			r.mu.Unlock()
		})
	}
}

// serve answers one request; each message goes with its length before it.
func (r *Realm) serve(conn net.Conn) {
	if conn.SetDeadline(time.Now().Add(kerberosWait)) != nil {
		return
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxKerberos {
		return
	}
	request := make([]byte, n)
	if _, err := io.ReadFull(conn, request); err != nil {
		return
	}
	r.mu.Lock()
	answer, err := r.answer(request)
	r.mu.Unlock()
	if err != nil {
		return // a message that is none: the connection ends
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)) // the client went away
}

func (r *Realm) answer(raw []byte) ([]byte, error) {
	var first messages.ASReq
	if first.Unmarshal(raw) == nil {
		return r.authenticate(&first)
	}
	var next messages.TGSReq
	if err := next.Unmarshal(raw); err != nil {
		return nil, err
	}
	return r.grant(&next)
}

// refuse answers with an error.
func (r *Realm) refuse(q *messages.KDCReqFields, code int32, data []byte) ([]byte, error) {
	e := messages.NewKRBError(q.ReqBody.SName, r.name, code, "")
	e.EData = data
	return e.Marshal()
}

// authenticate gives the first ticket to a user who proves to know the password, by the
// time sealed with it.
func (r *Realm) authenticate(q *messages.ASReq) ([]byte, error) {
	user := q.ReqBody.CName
	if _, known := r.known[user.PrincipalNameString()]; !known || q.ReqBody.Realm != r.name {
		return r.refuse(&q.KDCReqFields, errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, nil)
	}
	key, _, err := r.keys.GetEncryptionKey(user, r.name, keyVersion, etypeID.AES256_CTS_HMAC_SHA1_96)
	if err != nil {
		return nil, err
	}
	sealed := []byte(nil)
	for _, pa := range q.PAData {
		if pa.PADataType == patype.PA_ENC_TIMESTAMP {
			sealed = pa.PADataValue
		}
	}
	if sealed == nil {
		hint, err := r.hint(user)
		if err != nil {
			return nil, err
		}
		return r.refuse(&q.KDCReqFields, errorcode.KDC_ERR_PREAUTH_REQUIRED, hint)
	}
	var data types.EncryptedData
	var stamp types.PAEncTSEnc
	err = data.Unmarshal(sealed)
	if err == nil {
		var plain []byte
		if plain, err = crypto.DecryptEncPart(data, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP); err == nil {
			err = stamp.Unmarshal(plain)
		}
	}
	if err != nil || time.Since(stamp.PATimestamp).Abs() > clockSkew {
		return r.refuse(&q.KDCReqFields, errorcode.KDC_ERR_PREAUTH_FAILED, nil)
	}
	fields, err := r.ticket(&q.KDCReqFields, user, key, keyusage.AS_REP_ENCPART)
	if err != nil {
		return nil, err
	}
	fields.MsgType = msgtype.KRB_AS_REP
	return (&messages.ASRep{KDCRepFields: fields}).Marshal()
}

// hint says how the key is made from the password.
func (r *Realm) hint(user types.PrincipalName) ([]byte, error) {
	info, err := asn1.Marshal([]types.ETypeInfo2Entry{{EType: etypeID.AES256_CTS_HMAC_SHA1_96, Salt: user.GetSalt(r.name)}})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(types.PADataSequence{{PADataType: patype.PA_ENC_TIMESTAMP}, {PADataType: patype.PA_ETYPE_INFO2, PADataValue: info}})
}

// grant gives a ticket for a service to whoever has a first one.
func (r *Realm) grant(q *messages.TGSReq) ([]byte, error) {
	for _, pa := range q.PAData {
		if pa.PADataType != patype.PA_TGS_REQ {
			continue
		}
		var first messages.APReq
		if err := first.Unmarshal(pa.PADataValue); err != nil {
			return nil, err
		}
		if ok, err := first.Verify(r.keys, clockSkew, types.HostAddress{}, nil); err != nil || !ok {
			return r.refuse(&q.KDCReqFields, errorcode.KRB_AP_ERR_BAD_INTEGRITY, nil)
		}
		if _, known := r.known[q.ReqBody.SName.PrincipalNameString()]; !known {
			return r.refuse(&q.KDCReqFields, errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, nil)
		}
		held := first.Ticket.DecryptedEncPart
		fields, err := r.ticket(&q.KDCReqFields, held.CName, held.Key, keyusage.TGS_REP_ENCPART_SESSION_KEY)
		if err != nil {
			return nil, err
		}
		r.tickets++
		fields.MsgType = msgtype.KRB_TGS_REP
		return (&messages.TGSRep{KDCRepFields: fields}).Marshal()
	}
	return r.refuse(&q.KDCReqFields, errorcode.KDC_ERR_PADATA_TYPE_NOSUPP, nil)
}

// ticket makes a ticket for what a request names, and what goes with it under a key of the
// client's.
func (r *Realm) ticket(q *messages.KDCReqFields, user types.PrincipalName, key types.EncryptionKey, usage uint32) (messages.KDCRepFields, error) {
	now := time.Now().UTC().Truncate(time.Second)
	end, service := now.Add(ticketLife), q.ReqBody.SName
	service.NameType = nametype.KRB_NT_SRV_INST
	ticket, session, err := messages.NewTicket(user, r.name, service, r.name, types.NewKrbFlags(), r.keys,
		etypeID.AES256_CTS_HMAC_SHA1_96, keyVersion, now, now, end, end)
	if err != nil {
		return messages.KDCRepFields{}, err
	}
	part := messages.EncKDCRepPart{
		Key: session, LastReqs: []messages.LastReq{{LRValue: now}}, Nonce: q.ReqBody.Nonce, Flags: types.NewKrbFlags(),
		AuthTime: now, StartTime: now, EndTime: end, RenewTill: end, SRealm: r.name, SName: q.ReqBody.SName,
	}
	plain, err := part.Marshal()
	if err != nil {
		return messages.KDCRepFields{}, err
	}
	sealed, err := crypto.GetEncryptedData(plain, key, usage, keyVersion)
	if err != nil {
		return messages.KDCRepFields{}, err
	}
	return messages.KDCRepFields{PVNO: 5, CRealm: r.name, CName: user, Ticket: ticket, EncPart: sealed}, nil
}
