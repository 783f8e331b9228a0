// Package ntlm is the server's side of NTLM: it asks for NTLMv2 log-ons and checks them, by
// the user's password, with the code over all messages and the channel binding that
// Extended Protection needs. It is there for the simulated Exchange and for tests of
// clients; it holds no state but that of one log-on.
//
// A log-on takes two rounds on one connection. [Challenge] answers the client's first
// message; [LogOn.Read] reads its second one; [Proof.By] says whether it was made with a
// password, and [Proof.Binding] to which channel it is bound.
//
// https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-nlmp
package ntlm

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	//lint:ignore SA1019 NTLM is built on MD4
	"golang.org/x/crypto/md4"
)

// ErrMessage says that a message is none of NTLM, or not the one that was to come.
var ErrMessage = errors.New("not the NTLM message that was to come")

const signature = "NTLMSSP\x00"

// Flags of the messages that matter here.
//
// https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-nlmp/99d90ff4-957f-4c8a-80e4-5bfe5a9a9832
const (
	flagUnicode       = 0x1
	flagRequestTarget = 0x4
	flagSign          = 0x10
	flagSeal          = 0x20
	flagNTLM          = 0x200
	flagAlwaysSign    = 0x8000
	flagDomain        = 0x10000
	flagExtended      = 0x80000
	flagTargetInfo    = 0x800000
	flagVersion       = 0x2000000
	flag128           = 0x20000000
	flagKeyExchange   = 0x40000000
	flag56            = 0x80000000

	offered = flagUnicode | flagRequestTarget | flagSign | flagSeal | flagNTLM | flagAlwaysSign | flagDomain |
		flagExtended | flagTargetInfo | flagVersion | flag128 | flagKeyExchange | flag56
)

// Attributes of the target information.
//
// https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-nlmp/83f5e789-660d-4781-8491-5f8c6641f75e
const (
	attrEnd     = 0
	attrHost    = 1
	attrDomain  = 2
	attrFlags   = 6
	attrTime    = 7
	attrBinding = 10
)

// IsNegotiate and IsAuthenticate tell the client's two messages apart.
func IsNegotiate(message []byte) bool    { return kind(message) == 1 }
func IsAuthenticate(message []byte) bool { return kind(message) == 3 }

func kind(m []byte) uint32 {
	if len(m) < 12 || string(m[:8]) != signature {
		return 0
	}
	return binary.LittleEndian.Uint32(m[8:])
}

// A LogOn is one that was begun.
type LogOn struct {
	Message []byte // the challenge, to be sent

	negotiate []byte
	nonce     [8]byte
}

// Challenge begins a log-on with the client's first message. Domain and host are what the
// server says of itself; the time makes clients add the code over all messages.
//
// https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-nlmp/801a4681-8809-4be9-ab0d-61dcfe762786
func Challenge(negotiate []byte, domain, host string, now time.Time) (*LogOn, error) {
	if !IsNegotiate(negotiate) {
		return nil, ErrMessage
	}
	l := &LogOn{negotiate: slices.Clone(negotiate)}
	if _, err := rand.Read(l.nonce[:]); err != nil {
		return nil, err
	}
	var info []byte
	pair := func(id uint16, value []byte) {
		info = binary.LittleEndian.AppendUint16(info, id)
		info = binary.LittleEndian.AppendUint16(info, uint16(len(value)))
		info = append(info, value...)
	}
	pair(attrDomain, wide(domain))
	pair(attrHost, wide(host))
	pair(attrTime, binary.LittleEndian.AppendUint64(nil, filetime(now)))
	pair(attrEnd, nil)
	const head = 56
	name := wide(domain)
	b := append([]byte(signature), 2, 0, 0, 0)
	field := func(n, offset int) {
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint32(b, uint32(offset))
	}
	field(len(name), head)
	b = binary.LittleEndian.AppendUint32(b, offered)
	b = append(b, l.nonce[:]...)
	b = append(b, make([]byte, 8)...)
	field(len(info), head+len(name))
	b = append(b, 10, 0, 0x61, 0x4a, 0, 0, 0, 15) // a version of Windows
	l.Message = append(append(b, name...), info...)
	return l, nil
}

// filetime counts 100 ns since 1601.
func filetime(t time.Time) uint64 {
	const until1970 = 116444736000000000
	return uint64(t.UnixNano()/100 + until1970)
}

// A Proof is what a client says of itself, and how it means to prove it.
type Proof struct {
	Domain, User string
	// Binding is the hash of the channel that the log-on is bound to, nil when it is bound
	// to none. Compare it with that of the server's certificate.
	Binding []byte
	// Coded says that there is a code over all messages, which [Proof.By] then checks.
	Coded bool

	logOn          *LogOn
	message        []byte
	domain         []byte // as it was written, for it is in the key
	proof, blob    []byte
	sealed         []byte // the session key
	sealsItsOwnKey bool
}

// Offsets in the client's second message.
//
// https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-nlmp/033d32cc-88f9-4483-9bf2-b273055038ce
const (
	atResponse   = 20
	atDomain     = 28
	atUser       = 36
	atSessionKey = 52
	atFlags      = 60
	atCode       = 72
	codeEnd      = 88
)

// Read reads the client's second message. Nothing of it is proved yet.
func (l *LogOn) Read(message []byte) (*Proof, error) {
	if !IsAuthenticate(message) || len(message) < 64 {
		return nil, ErrMessage
	}
	field := func(at int) []byte {
		n, offset := int(binary.LittleEndian.Uint16(message[at:])), int(binary.LittleEndian.Uint32(message[at+4:]))
		if offset > len(message) || n > len(message)-offset {
			return nil
		}
		return message[offset : offset+n]
	}
	response := field(atResponse)
	if len(response) < 44 { // what NTLMv1 sends is shorter
		return nil, ErrMessage
	}
	p := &Proof{
		Domain: narrow(field(atDomain)), User: narrow(field(atUser)),
		logOn: l, message: slices.Clone(message), domain: field(atDomain), proof: response[:16], blob: response[16:],
		sealed:         field(atSessionKey),
		sealsItsOwnKey: binary.LittleEndian.Uint32(message[atFlags:])&flagKeyExchange != 0,
	}
	return p, p.attributes(p.blob[28:])
}

func (p *Proof) attributes(list []byte) error {
	for len(list) >= 4 {
		id, n := binary.LittleEndian.Uint16(list), int(binary.LittleEndian.Uint16(list[2:]))
		if n > len(list)-4 {
			return ErrMessage
		}
		value := list[4 : 4+n]
		switch {
		case id == attrEnd:
			return nil
		case id == attrBinding && n == md5.Size && !bytes.Equal(value, make([]byte, md5.Size)):
			p.Binding = value
		case id == attrFlags && n == 4:
			p.Coded = value[0]&2 != 0
		}
		list = list[4+n:]
	}
	return nil
}

// By tells whether the proof was made with this password, and all messages came through
// as they were sent.
func (p *Proof) By(password string) bool {
	h := md4.New()
	h.Write(wide(password))
	key := mac(h.Sum(nil), wide(strings.ToUpper(p.User)), p.domain)
	if !hmac.Equal(p.proof, mac(key, p.logOn.nonce[:], p.blob)) {
		return false
	}
	return !p.Coded || p.codeIsRight(mac(key, p.proof))
}

// codeIsRight checks the code over all three messages, in the last of which its own place
// counts as zeros.
func (p *Proof) codeIsRight(session []byte) bool {
	if len(p.message) < codeEnd {
		return false
	}
	if p.sealsItsOwnKey {
		if len(p.sealed) != 16 {
			return false
		}
		c, err := rc4.NewCipher(session)
		if err != nil {
			return false
		}
		session = make([]byte, 16)
		c.XORKeyStream(session, p.sealed)
	}
	bare := slices.Clone(p.message)
	clear(bare[atCode:codeEnd])
	return hmac.Equal(p.message[atCode:codeEnd], mac(session, p.logOn.negotiate, p.logOn.Message, bare))
}

// Binding is the hash by which a log-on names the TLS channel with this certificate:
// tls-server-end-point, in the form that NTLM carries.
//
// https://www.rfc-editor.org/rfc/rfc5929#section-4
func Binding(leaf *x509.Certificate) []byte {
	hash := crypto.SHA256
	switch leaf.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write(leaf.Raw)
	data := h.Sum([]byte("tls-server-end-point:"))
	// A gss_channel_bindings_struct without addresses.
	b := binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(data)))
	sum := md5.Sum(append(b, data...))
	return sum[:]
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func narrow(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}
