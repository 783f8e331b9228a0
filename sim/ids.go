package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Ids look like those of a real server: base64 of a mailbox's GUID and a store entry id,
// some 150 characters long, and case-sensitive. An item's id names its folder: it
// changes when the item moves and stays when the item changes.
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-identifiers-in-exchange

const (
	guidText     = 36
	folderEntry  = 46
	messageEntry = 70
	attachTail   = 12
)

// kinds of ids, in their second byte
const (
	folderKind  = 1
	itemKind    = 3
	attachKind  = 5
	idHeadBytes = 3 + guidText + 2
)

// A guid names a mailbox, or the replica that counts its objects.
type guid [16]byte

func (g guid) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", g[0:4], g[4:6], g[6:8], g[8:10], g[10:16])
}

// idHead begins an id: kind, the mailbox's GUID as text, the length of the entry id.
func idHead(kind byte, box guid, entry int) []byte {
	b := make([]byte, 0, idHeadBytes+entry+attachTail)
	b = append(b, 0, kind, guidText)
	b = append(b, box.String()...)
	return binary.LittleEndian.AppendUint16(b, uint16(entry))
}

// appendObject appends one counted object of the store: replica and 48-bit counter.
func appendObject(b []byte, replica guid, n uint64) []byte {
	b = append(b, replica[:]...)
	b = append(b, byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return append(b, 0, 0)
}

func objectNumber(b []byte) uint64 {
	return uint64(b[16])<<40 | uint64(b[17])<<32 | uint64(b[18])<<24 | uint64(b[19])<<16 | uint64(b[20])<<8 | uint64(b[21])
}

func folderID(box guid, n uint64) string {
	b := idHead(folderKind, box, folderEntry)
	b = append(b, 0, 0, 0, 0)
	b = append(b, box[:14]...)
	b = append(b, 1, 0, 0, 0)
	return base64.StdEncoding.EncodeToString(appendObject(b, box, n))
}

func itemEntry(b []byte, box guid, folder, n uint64) []byte {
	b = append(b, 0, 0, 0, 0)
	b = append(b, box[:14]...)
	b = append(b, 7, 0)
	b = appendObject(b, box, folder)
	b = appendObject(b, box, n)
	return append(b, 0, 0)
}

func itemID(box guid, folder, n uint64) string {
	return base64.StdEncoding.EncodeToString(itemEntry(idHead(itemKind, box, messageEntry), box, folder, n))
}

// attachmentID names the i-th attachment of one version of an item: it dies when the
// item changes.
func attachmentID(box guid, folder, n uint64, version, i uint32) string {
	b := itemEntry(idHead(attachKind, box, messageEntry), box, folder, n)
	b = append(b, 1, 0, 8, 0)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, i)
	return base64.StdEncoding.EncodeToString(b)
}

// An entryID is an id taken apart.
type entryID struct {
	kind    byte
	box     guid
	folder  uint64
	item    uint64
	version uint32
	index   uint32
}

// parseID takes an id apart; ok is false for what this server never gave out: other
// case, cut, padded or made up.
func parseID(text string) (id entryID, ok bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < idHeadBytes || b[0] != 0 || b[2] != guidText {
		return id, false
	}
	id.kind = b[1]
	entry := b[idHeadBytes:]
	want := map[byte]int{folderKind: folderEntry, itemKind: messageEntry, attachKind: messageEntry + attachTail}[id.kind]
	if want == 0 || len(entry) != want {
		return id, false
	}
	object := entry[len(entry)-24:]
	if id.kind != folderKind {
		object = entry[20:44]
		id.item = objectNumber(entry[44:68])
	}
	id.folder = objectNumber(object)
	copy(id.box[:], object[:16])
	if id.kind == attachKind {
		tail := entry[messageEntry:]
		id.version = binary.BigEndian.Uint32(tail[4:])
		id.index = binary.BigEndian.Uint32(tail[8:])
	}
	return id, bytes.Equal(b[3:3+guidText], []byte(id.box.String())) && id.text() == text
}

// text puts an id together again, which proves that no byte of it was altered.
func (id entryID) text() string {
	switch id.kind {
	case folderKind:
		return folderID(id.box, id.folder)
	case itemKind:
		return itemID(id.box, id.folder, id.item)
	}
	return attachmentID(id.box, id.folder, id.item, id.version, id.index)
}

// changeKey is a version of an item or folder, as text.
func changeKey(box guid, prefix string, seq uint64) string {
	b := append([]byte(prefix), 0, 0, 0, 0x16, 0, 0, 0)
	b = append(b, box[:]...)
	b = binary.BigEndian.AppendUint64(b, seq)
	return base64.StdEncoding.EncodeToString(b)
}

// A syncState is where a client left off in a folder (or, with folder 0, in the tree of
// folders). It goes out as opaque text; padding makes it as long as real ones grow.
type syncState struct {
	box    guid
	folder uint64
	epoch  uint64 // states of an older epoch are lost
	base   uint64 // the client knows all up to this change …
	pos    uint64 // … and, when pages are being read, what lies up to this one
	below  uint64 // first run: items created before this one are still to come; 0 = it is over
}

const syncStateBytes = 16 + 5*8 + 4

func (s syncState) text(padding int) string {
	b := make([]byte, 0, syncStateBytes+padding)
	b = append(b, s.box[:]...)
	for _, n := range []uint64{s.folder, s.epoch, s.base, s.pos, s.below} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	for i := range padding {
		b = append(b, byte(i*31))
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.StdEncoding.EncodeToString(b)
}

// parseSyncState reads a state; ok is false when it was cut or altered.
func parseSyncState(text string) (s syncState, ok bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < syncStateBytes {
		return s, false
	}
	end := len(b) - 4
	if crc32.ChecksumIEEE(b[:end]) != binary.BigEndian.Uint32(b[end:]) {
		return s, false
	}
	copy(s.box[:], b)
	for i, n := range []*uint64{&s.folder, &s.epoch, &s.base, &s.pos, &s.below} {
		*n = binary.BigEndian.Uint64(b[16+8*i:])
	}
	return s, true
}
