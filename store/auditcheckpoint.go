package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"postern/crm"
)

// A checkpoint is signed proof of how far a chain had come, one line of JSON in a file
// outside of the database. Who changes the database cannot change it as well without
// access to the file and to the key, which is sealed. Each names the line before it, so
// that none can be taken out of the middle.
type checkpoint struct {
	Org       crm.OrgID `json:"org"`
	Seq       int64     `json:"seq"`       // of the last entry
	Hash      string    `json:"hash"`      // of that entry, hexadecimal
	At        time.Time `json:"at"`        // when it was signed
	Before    string    `json:"before"`    // SHA-256 of the organization's line before, hexadecimal; "" = the first
	Signature []byte    `json:"signature"` // Ed25519, of message

	Accepts *acceptance `json:"accepts,omitempty"` // the entry accepts a gap

	line int // of its file, from 1
}

// message is what is signed.
func (c *checkpoint) message() []byte {
	b := fmt.Appendf(nil, "postern checkpoint 1\n%d\n%d\n%s\n%s\n%s\n", c.Org, c.Seq, c.Hash, c.At.UTC().Format(time.RFC3339Nano), c.Before)
	if a := c.Accepts; a != nil {
		b = fmt.Appendf(b, "accepts\n%d\n%d\n%d\n%s\n%q\n%q\n", a.After, a.From, a.To, a.Hash, a.By, a.Why)
	}
	return b
}

// newSigningKey makes the key that signs an organization's checkpoints, wrapped by the
// master key: the log outlives the organization's own keys.
func (o *Org) newSigningKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return o.s.vault.masterKey().wrap(o.signingKeyPlace(), key.Seed())
}

func (o *Org) signingKeyPlace() place {
	return place{o.id, "audit_head", int64(o.id), "signing_key"}
}

func (o *Org) openSigningKey(sealed []byte) (ed25519.PrivateKey, error) {
	seed, err := o.s.vault.unwrap(o.signingKeyPlace(), sealed)
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("the signing key has the wrong length")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// signer is openSigningKey for who signs often: a KMS is asked once.
func (o *Org) signer(sealed []byte) (ed25519.PrivateKey, error) {
	v := o.s.vault
	v.mu.Lock()
	key := v.signers[o.id]
	v.mu.Unlock()
	if key != nil {
		return key, nil
	}
	key, err := o.openSigningKey(sealed)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	v.signers[o.id] = key
	v.mu.Unlock()
	return key, nil
}

// publicKey returns the key by which anybody can check the checkpoints, as PEM.
func publicKey(key ed25519.PrivateKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// checkpointFile is where the checkpoints of the organization stand.
func (o *Org) checkpointFile() string {
	return filepath.Join(o.s.dir, "audit", strconv.FormatInt(int64(o.id), 10)+".checkpoints")
}

// Checkpoint signs the end of the audit log as it is, unless that was done. Every change
// does so by itself when it is saved; whoever serves calls it now and then, to make up for
// one that was killed, or had no room, between the two.
func (o *Org) Checkpoint(ctx context.Context) error {
	head, err := o.lastHead(ctx)
	if err != nil {
		return err
	}
	return o.watchSinkFile(ctx, o.signHead(head))
}

// signHead adds a checkpoint for this end of the chain, and gives the sink what it has not
// taken yet. One that comes late finds the end signed already; what others have written
// gets none, and the verdict says so.
func (o *Org) signHead(head auditHead) error {
	if head.seq == 0 {
		return nil
	}
	if err := o.sign(head, nil); err != nil && !errors.Is(err, errSigned) && !errors.Is(err, errForeign) {
		return err
	}
	return o.paySink()
}

// errSigned: there is a checkpoint for this end of the chain, or for a later one.
var errSigned = errors.New("signed already")

// errForeign: this end of the chain was not written by who has the key.
var errForeign = errors.New("the end of the audit log is not Postern's")

// sign adds a checkpoint to the file. Processes take turns by a lock on it.
func (o *Org) sign(head auditHead, accepts *acceptance) error {
	if err := os.MkdirAll(filepath.Dir(o.checkpointFile()), 0o700); err != nil {
		return folderFault(o.s.dir, err)
	}
	f, err := os.OpenFile(o.checkpointFile(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return folderFault(o.s.dir, err)
	}
	defer f.Close()
	if _, err := flock(f, true); err != nil {
		return folderFault(o.s.dir, err)
	}
	last, end, err := lastLine(f)
	if err != nil {
		return folderFault(o.s.dir, err)
	}
	c := checkpoint{Org: o.id, Seq: head.seq, Hash: hex.EncodeToString(head.hash), At: o.s.now().UTC(), Accepts: accepts}
	if last != nil {
		var before checkpoint
		if json.Unmarshal(last, &before) == nil && before.Seq >= head.seq {
			return errSigned
		}
		c.Before = lineHash(last)
	}
	key, err := o.signer(head.signingKey)
	if err != nil {
		return err
	}
	if !head.sealed(o.id, key) {
		return errForeign
	}
	c.Signature = ed25519.Sign(key, c.message())
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := o.appendLine(f, end, line); err != nil {
		return folderFault(o.s.dir, err)
	}
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	o.s.signed[o.id] = lineHash(line)
	return nil
}

// appendLine writes a line to the file, flushed, and keeps it for the sink.
func (o *Org) appendLine(f *os.File, end int64, line []byte) error {
	line = append(line, '\n')
	if err := f.Truncate(end); err != nil { // half a line, of a power cut
		return err
	}
	if _, err := f.WriteAt(line, end); err != nil {
		return err
	}
	if err := f.Sync(); err != nil || o.s.auditSink == "" {
		return err
	}
	o.s.mu.Lock()
	o.s.unsunk[o.id] = append(o.s.unsunk[o.id], line...)
	o.s.mu.Unlock()
	return nil
}

// paySink writes to the sink what it did not take so far.
func (o *Org) paySink() error {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	if len(o.s.unsunk[o.id]) == 0 {
		return nil
	}
	sink, err := os.OpenFile(o.s.auditSink, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return sinkFault(err)
	}
	if err := errors.Join(appendWhole(sink, o.s.unsunk[o.id]), sink.Close()); err != nil {
		return sinkFault(err)
	}
	delete(o.s.unsunk, o.id)
	return nil
}

// appendWhole writes text behind what there is, or none of it: half a line, of a disk that
// is full, would be taken for a forged one.
func appendWhole(f *os.File, text []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	n, err := f.Write(text)
	if n > 0 && err != nil && info.Mode().IsRegular() {
		return errors.Join(err, f.Truncate(info.Size()))
	}
	return err
}

func sinkFault(err error) error {
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "audit-sink-unwritable", Err: err,
		Message: fmt.Sprintf("The checkpoints of the audit log cannot be written to the sink: %v.", err),
		Advice:  "Let the account that runs Postern write to the file that POSTERN_AUDIT_SINK names. What it missed is written when it can be."}
}

func lineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// maxCheckpoint is more than the line of any checkpoint takes.
const maxCheckpoint = 4096

// lastLine returns the last whole line of the file, without its end, and where that is;
// nil for a file without any.
func lastLine(f *os.File) (line []byte, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	from := max(0, info.Size()-2*maxCheckpoint)
	tail, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
	if err != nil {
		return nil, 0, err
	}
	n := bytes.LastIndexByte(tail, '\n')
	if n < 0 {
		return nil, 0, nil
	}
	return tail[bytes.LastIndexByte(tail[:n], '\n')+1 : n], from + int64(n) + 1, nil
}

// checkpoints are those of a file, as far as they are genuine.
type checkpoints struct {
	list  []checkpoint
	lines map[string]bool // hashes of the lines
	bad   *badCheckpoint  // the first that is not genuine
}

type badCheckpoint struct {
	line int
	seq  int64
	why  string
}

// end is the last entry that the file covers.
func (l *checkpoints) end() int64 {
	if len(l.list) == 0 {
		return 0
	}
	return l.list[len(l.list)-1].Seq
}

// readCheckpoints reads the checkpoints of the organization in a file; one that is not
// there has none. Ours are a chain; a sink may have begun later, or missed some.
func (o *Org) readCheckpoints(path string, key ed25519.PublicKey) (checkpoints, error) {
	list := checkpoints{lines: map[string]bool{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return list, nil
	}
	if err != nil {
		return list, folderFault(o.s.dir, err)
	}
	before, n := "", 0
	for line := range bytes.Lines(data) {
		n++
		line, whole := bytes.CutSuffix(line, []byte("\n"))
		if !whole {
			break // a power cut, while it was written
		}
		c := checkpoint{}
		why := ""
		switch {
		case json.Unmarshal(line, &c) != nil:
			why = "cannot be read"
		case c.Org != o.id:
			continue // a sink holds those of all organizations
		case !ed25519.Verify(key, c.message(), c.Signature):
			why = "is not signed by the key of this log"
		case c.Before != before && path == o.checkpointFile():
			why = "does not follow the one before it: lines were taken out, or changed places"
		}
		if why != "" {
			list.bad = &badCheckpoint{n, list.end() + 1, why}
			return list, nil
		}
		c.line, before = n, lineHash(line)
		list.list, list.lines[before] = append(list.list, c), true
	}
	return list, nil
}
