package ews

import (
	"context"
	"crypto/md5"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	krbclient "github.com/jcmturner/gokrb5/v8/client"
	krbconfig "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// A Realm is what Kerberos needs to log an account on.
type Realm struct {
	Config   string // as a krb5.conf: the realm and its key distribution centres
	Login    string // user@REALM
	Password string
	Keytab   string // in base64; goes before the password
	Host     string // of the service
	// Dial opens connections to the centres that Config names, and to no others.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Now  func() time.Time
}

// A TicketError says that a key distribution centre gives no ticket.
type TicketError struct {
	Code int32 // Kerberos' own
	Text string
	Err  error // ErrPasswordRefused when it refuses the account
}

func (e *TicketError) Error() string { return fmt.Sprintf("kerberos error %d: %s", e.Code, e.Text) }
func (e *TicketError) Unwrap() error { return e.Err }

var (
	// errNoCentre says that no key distribution centre answered.
	errNoCentre = errors.New("no key distribution centre answers")
	// errRealm says that what somebody typed makes no realm or no key.
	errRealm = errors.New("the kerberos settings cannot be used")
)

// Tickets gets tickets for one account and one service, and keeps them as long as they are
// good. The messages are a library's; the connections are opened by whoever may.
type Tickets struct {
	Realm
	client *krbclient.Client // the account's keys; it never opens a connection
	realm  string
	turn   chan struct{} // held while tickets are asked for
	tgt    ticket
	ours   ticket // for the service
}

type ticket struct {
	messages.Ticket
	key   types.EncryptionKey
	until time.Time
}

// early is how long before its end a ticket is replaced.
const early = 5 * time.Minute

// NewTickets reads the configuration and the keys. It does not touch the network.
func NewTickets(r Realm) (t *Tickets, err error) {
	defer func() {
		if p := recover(); p != nil { // the library reads what somebody typed
			err = fmt.Errorf("%w: %v", errRealm, p)
		}
	}()
	cfg, err := krbconfig.NewFromString(r.Config)
	if err != nil {
		return nil, fmt.Errorf("%w: read the configuration: %w", errRealm, err)
	}
	cfg.LibDefaults.NoAddresses, cfg.LibDefaults.DNSLookupKDC = true, false
	user, realm, _ := strings.Cut(r.Login, "@")
	t = &Tickets{Realm: r, realm: strings.ToUpper(realm), turn: make(chan struct{}, 1)}
	if len(centres(cfg, t.realm)) == 0 {
		return nil, fmt.Errorf("%w: the configuration names no kdc of the realm %q", errRealm, t.realm)
	}
	if r.Keytab == "" {
		t.client = krbclient.NewWithPassword(user, t.realm, r.Password, cfg)
		return t, nil
	}
	raw, err := base64.StdEncoding.DecodeString(r.Keytab)
	if err != nil {
		return nil, fmt.Errorf("%w: read the keytab: %w", errRealm, err)
	}
	kt := keytab.New()
	if err := kt.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("%w: read the keytab: %w", errRealm, err)
	}
	t.client = krbclient.NewWithKeytab(user, t.realm, kt, cfg)
	return t, nil
}

// centres lists the key distribution centres of a realm.
func centres(cfg *krbconfig.Config, realm string) []string {
	for _, r := range cfg.Realms {
		if r.Realm == realm {
			return r.KDC
		}
	}
	return nil
}

// Token returns what one request carries under SPNEGO. With TLS it is bound to the
// server's certificate, as Extended Protection asks.
func (t *Tickets) Token(ctx context.Context, leaf *x509.Certificate) (token []byte, err error) {
	defer func() {
		if p := recover(); p != nil { // the library reads what strangers send
			err = fmt.Errorf("kerberos: %v", p)
		}
	}()
	k, err := t.service(ctx)
	if err != nil {
		return nil, err
	}
	authenticator, err := types.NewAuthenticator(t.realm, t.client.Credentials.CName())
	if err != nil {
		return nil, err
	}
	authenticator.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: bound(leaf)}
	m, err := spnego.NewKRB5TokenAPREQ(t.client, k.Ticket, k.key, nil, nil)
	if err != nil {
		return nil, err
	}
	if m.APReq, err = messages.NewAPReq(k.Ticket, k.key, authenticator); err != nil {
		return nil, err
	}
	raw, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	wrapped := spnego.SPNEGOToken{Init: true, NegTokenInit: spnego.NegTokenInit{
		MechTypes: []asn1.ObjectIdentifier{gssapi.OIDKRB5.OID()}, MechTokenBytes: raw,
	}}
	return wrapped.Marshal()
}

// bound is the authenticator's checksum: the hash of the channel, and flags.
//
// https://www.rfc-editor.org/rfc/rfc4121#section-4.1.1
func bound(leaf *x509.Certificate) []byte {
	sum := binary.LittleEndian.AppendUint32(nil, md5.Size)
	if binding := channelBinding(leaf); binding != nil {
		data := binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(binding.ApplicationData)))
		hash := md5.Sum(append(data, binding.ApplicationData...))
		sum = append(sum, hash[:]...)
	} else {
		sum = append(sum, make([]byte, md5.Size)...)
	}
	return binary.LittleEndian.AppendUint32(sum, gssapi.ContextFlagInteg)
}

// service returns the ticket for the service, a new one if need be.
func (t *Tickets) service(ctx context.Context) (ticket, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return ticket{}, ctx.Err()
	}
	fresh := t.Now().Add(early)
	if t.ours.until.After(fresh) {
		return t.ours, nil
	}
	var err error
	if !t.tgt.until.After(fresh) {
		if t.tgt, err = t.logOn(ctx); err != nil {
			return ticket{}, err
		}
	}
	t.ours, err = t.grant(ctx)
	return t.ours, err
}

// logOn asks for the ticket that all others are granted by. Where the centre wants a proof
// of the account's key first, it says by which kind of key.
func (t *Tickets) logOn(ctx context.Context) (ticket, error) {
	req, err := messages.NewASReqForTGT(t.realm, t.client.Config, t.client.Credentials.CName())
	if err != nil {
		return ticket{}, err
	}
	raw, err := req.Marshal()
	if err != nil {
		return ticket{}, err
	}
	answer, refusal, err := t.ask(ctx, t.realm, raw)
	if err == nil && refusal != nil && refusal.ErrorCode == errorcode.KDC_ERR_PREAUTH_REQUIRED {
		if raw, err = t.prove(&req, refusal); err == nil {
			answer, refusal, err = t.ask(ctx, t.realm, raw)
		}
	}
	if err != nil || refusal != nil {
		return ticket{}, refused(refusal, err)
	}
	var rep messages.ASRep
	if err := rep.Unmarshal(answer); err != nil {
		return ticket{}, err
	}
	if ok, err := rep.Verify(t.client.Config, t.client.Credentials, req); !ok {
		return ticket{}, fmt.Errorf("the answer of the key distribution centre does not fit the account's key: %w", errors.Join(ErrPasswordRefused, err))
	}
	return ticket{rep.Ticket, rep.DecryptedEncPart.Key, rep.DecryptedEncPart.EndTime}, nil
}

// prove adds the time, encrypted by the account's key, to a request.
//
// https://www.rfc-editor.org/rfc/rfc4120#section-5.2.7.2
func (t *Tickets) prove(req *messages.ASReq, asked *messages.KRBError) ([]byte, error) {
	var hints types.PADataSequence
	if err := hints.Unmarshal(asked.EData); err != nil {
		return nil, err
	}
	for _, hint := range hints {
		if hint.PADataType != patype.PA_ETYPE_INFO2 {
			continue
		}
		kinds, err := hint.GetETypeInfo2()
		if err != nil || len(kinds) == 0 {
			continue
		}
		kind, err := crypto.GetEtype(kinds[0].EType)
		if err != nil {
			return nil, err
		}
		key, version, err := t.client.Key(kind, 0, asked)
		if err != nil {
			return nil, fmt.Errorf("there is no key of the kind that is asked for: %w", errors.Join(ErrPasswordRefused, err))
		}
		stamp, err := types.GetPAEncTSEncAsnMarshalled()
		if err != nil {
			return nil, err
		}
		sealed, err := crypto.GetEncryptedData(stamp, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP, version)
		if err != nil {
			return nil, err
		}
		value, err := sealed.Marshal()
		if err != nil {
			return nil, err
		}
		req.PAData = append(req.PAData, types.PAData{PADataType: patype.PA_ENC_TIMESTAMP, PADataValue: value})
		return req.Marshal()
	}
	return nil, errors.New("the key distribution centre asks for a proof of a kind that is not known")
}

// maxReferrals is how many realms may lie between the account and the service.
const maxReferrals = 5

// grant asks for the service's ticket, and follows to the realm that has it.
func (t *Tickets) grant(ctx context.Context) (ticket, error) {
	realm, by := t.realm, t.tgt
	name := types.NewPrincipalName(nametype.KRB_NT_SRV_INST, "HTTP/"+t.Host)
	for range maxReferrals {
		req, err := messages.NewTGSReq(t.client.Credentials.CName(), realm, t.client.Config, by.Ticket, by.key, name, false)
		if err != nil {
			return ticket{}, err
		}
		raw, err := req.Marshal()
		if err != nil {
			return ticket{}, err
		}
		answer, refusal, err := t.ask(ctx, realm, raw)
		if err != nil || refusal != nil {
			return ticket{}, refused(refusal, err)
		}
		var rep messages.TGSRep
		if err := rep.Unmarshal(answer); err != nil {
			return ticket{}, err
		}
		if err := rep.DecryptEncPart(by.key); err != nil {
			return ticket{}, err
		}
		if ok, err := rep.Verify(t.client.Config, req); !ok {
			return ticket{}, fmt.Errorf("the key distribution centre answers something else than was asked: %w", err)
		}
		by = ticket{rep.Ticket, rep.DecryptedEncPart.Key, rep.DecryptedEncPart.EndTime}
		parts := rep.Ticket.SName.NameString
		if len(parts) != 2 || parts[0] != "krbtgt" {
			return by, nil
		}
		realm = parts[1]
	}
	return ticket{}, errors.New("too many realms between the account and the service")
}

// ask sends a message to a centre of the realm, the next one when one is silent, and
// returns its answer or its refusal.
func (t *Tickets) ask(ctx context.Context, realm string, raw []byte) ([]byte, *messages.KRBError, error) {
	err := fmt.Errorf("%w: none of the realm %s is named", errNoCentre, realm)
	for _, centre := range centres(t.client.Config, realm) {
		if _, _, bad := net.SplitHostPort(centre); bad != nil {
			centre = net.JoinHostPort(centre, "88")
		}
		answer, failure := t.exchange(ctx, centre, raw)
		if failure != nil {
			err = fmt.Errorf("%w: %w", errNoCentre, failure)
			continue
		}
		var refusal messages.KRBError
		if refusal.Unmarshal(answer) == nil {
			return nil, &refusal, nil
		}
		return answer, nil, nil
	}
	return nil, nil, err
}

const (
	centreTimeout = 10 * time.Second
	maxTicket     = 1 << 20
)

// exchange is one question over TCP: each message behind its length.
//
// https://www.rfc-editor.org/rfc/rfc4120#section-7.2.2
func (t *Tickets) exchange(ctx context.Context, centre string, raw []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, centreTimeout)
	defer cancel()
	conn, err := t.Dial(ctx, "tcp", centre)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...)); err != nil {
		return nil, cause(ctx, err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, cause(ctx, err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxTicket {
		return nil, errBounds
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, cause(ctx, err)
	}
	return answer, nil
}

// refused makes an error of a refusal, if there is one.
func refused(e *messages.KRBError, err error) error {
	if e == nil {
		return err
	}
	t := &TicketError{Code: e.ErrorCode, Text: errorcode.Lookup(e.ErrorCode)}
	if slices.Contains([]int32{errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, errorcode.KDC_ERR_CLIENT_REVOKED, errorcode.KDC_ERR_KEY_EXPIRED,
		errorcode.KDC_ERR_PREAUTH_FAILED, errorcode.KDC_ERR_NAME_EXP, errorcode.KDC_ERR_ETYPE_NOSUPP}, e.ErrorCode) {
		t.Err = ErrPasswordRefused
	}
	return t
}
