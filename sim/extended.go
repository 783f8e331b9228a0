package sim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"postern/ews"
	"postern/mail"
)

// MAPI properties that are served. What they mean:
// https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxprops
const (
	tagMessageClass     = 0x001A
	tagSubject          = 0x0037
	tagSubmitTime       = 0x0039
	tagFromAddress      = 0x0065
	tagTopic            = 0x0070
	tagTransportHeaders = 0x007D
	tagSenderAddress    = 0x0C1F
	tagDeliveryTime     = 0x0E06
	tagFlags            = 0x0E07
	tagSize             = 0x0E08
	tagArticle          = 0x0E23 // number in the folder; IMAP's UID
	tagRecordKey        = 0x0FF9
	tagEntryID          = 0x0FFF
	tagMessageID        = 0x1035
	tagReferences       = 0x1039
	tagInReplyTo        = 0x1042
	tagURLName          = 0x10F3
	tagHidden           = 0x10F4
	tagCreated          = 0x3007
	tagModified         = 0x3008
	tagSearchKey        = 0x300B
	tagContentCount     = 0x3602
	tagUnread           = 0x3603
	tagSubfolders       = 0x360A
	tagContainerClass   = 0x3613
	tagSenderSMTP       = 0x5D01
	tagFromSMTP         = 0x5D02
	tagCommitTime       = 0x670A
	tagDeleteCount      = 0x670B
	tagFlatURLName      = 0x670E
	tagNextArticle      = 0x6751
	tagLastArticle      = 0x6752
)

// Bits of tagFlags.
const (
	flagRead   = 0x01
	flagUnsent = 0x08
	flagFromMe = 0x20
)

// propertyKey is the identity of a MAPI property, however a client spells it.
func propertyKey(f *ews.ExtendedFieldURI) string {
	if f.Tag != "" {
		n, _ := strconv.ParseUint(f.Tag, 0, 16)
		return strconv.FormatUint(n, 16)
	}
	return strings.ToLower(f.DistinguishedSet + "|" + f.Set + "|" + f.Name + "|" + f.ID)
}

// extended returns a MAPI property of the item; ok is false when it has no value.
func (v *view) extended(f ews.ExtendedFieldURI) (value string, values []string, ok bool) {
	if e := v.item.edits; e != nil {
		if p, found := e.extended[propertyKey(&f)]; found {
			return p.Value, p.Values, true
		}
	}
	if f.Tag == "" {
		return v.named(f)
	}
	n, err := strconv.ParseUint(f.Tag, 0, 16)
	if err != nil {
		return "", nil, false
	}
	if value, ok = v.stored(uint16(n)); !ok && v.openHeader() == nil {
		value, ok = v.fromHeader(uint16(n))
	}
	return value, nil, ok
}

// stored are the tagged properties that need no look at the letter.
func (v *view) stored(tag uint16) (string, bool) {
	it := v.item
	switch tag {
	case tagMessageClass:
		return it.letter.class, true
	case tagSubmitTime:
		return wireTime(it.letter.sent), !it.letter.sent.IsZero()
	case tagDeliveryTime:
		return wireTime(it.letter.received), true
	case tagCreated:
		return wireTime(it.added), true
	case tagModified:
		return wireTime(it.modified), true
	case tagFlags:
		return strconv.Itoa(it.flags()), true
	case tagSize:
		return strconv.FormatInt(it.letter.at.len, 10), true
	case tagArticle:
		return strconv.FormatUint(uint64(it.uid), 10), true
	case tagHidden:
		return "false", true
	case tagSearchKey:
		return base64.StdEncoding.EncodeToString(it.searchKey[:]), true
	case tagRecordKey, tagEntryID:
		return base64.StdEncoding.EncodeToString(itemEntry(nil, it.box.guid, it.folder.n, it.n)), true
	case tagURLName, tagFlatURLName:
		return it.urlName(), true
	}
	return "", false
}

func (it *Item) flags() int {
	flags := 0
	if it.read {
		flags |= flagRead
	}
	if it.draft {
		flags |= flagUnsent
	}
	if it.own {
		flags |= flagFromMe
	}
	return flags
}

// urlName is the name of the item in a path, as Exchange 2003 began it.
func (it *Item) urlName() string {
	var key [12]byte
	binary.BigEndian.PutUint32(key[:], uint32(it.folder.n))
	binary.BigEndian.PutUint64(key[4:], it.n)
	digest := sha256.Sum256(append(key[:], it.searchKey[:]...))
	return hex.EncodeToString(digest[:16]) + ".EML"
}

// fromHeader are the tagged properties that the letter's header has.
func (v *view) fromHeader(tag uint16) (string, bool) {
	h := v.header
	filled := func(s string) (string, bool) { return s, s != "" }
	switch tag {
	case tagSubject:
		return filled(v.subject())
	case tagTopic:
		return filled(topic(v.subject()))
	case tagMessageID:
		return filled(h.Get("Message-ID"))
	case tagReferences:
		return filled(strings.Join(h.Values("References"), " "))
	case tagInReplyTo:
		return filled(h.Get("In-Reply-To"))
	case tagFromSMTP:
		return smtpOf(h.From())
	case tagSenderSMTP:
		if sender := h.Sender(); len(sender) > 0 {
			return smtpOf(sender)
		}
		return smtpOf(h.From())
	case tagFromAddress, tagSenderAddress:
		if from := h.From(); len(from) > 0 {
			return filled(v.mailbox(from[0], false).EmailAddress)
		}
	case tagTransportHeaders:
		if v.item.own {
			return "", false // what never travelled has none
		}
		raw, err := v.x.letters.read(v.item.letter.at)
		if err != nil {
			return "", false
		}
		head, _ := splitHead(raw)
		return strings.ToValidUTF8(string(head), "\uFFFD"), true
	}
	return "", false
}

func smtpOf(list []mail.Named) (string, bool) {
	if len(list) == 0 || list[0].Address == "" {
		return "", false
	}
	return string(list[0].Address), true
}

// named are the named properties: header fields by name, and the categories as their
// list of keywords.
func (v *view) named(f ews.ExtendedFieldURI) (string, []string, bool) {
	switch {
	case f.DistinguishedSet == "InternetHeaders" && v.openHeader() == nil && v.header.Has(f.Name):
		return v.header.Get(f.Name), nil, true
	case f.DistinguishedSet == "PublicStrings" && f.Name == "Keywords" && v.item.edits != nil && len(v.item.edits.categories) > 0:
		return "", v.item.edits.categories, true
	}
	return "", nil, false
}

// extended returns a MAPI property of the folder.
func (f *Folder) extended(field *ews.ExtendedFieldURI) (string, bool) {
	n, err := strconv.ParseUint(field.Tag, 0, 16)
	if err != nil {
		return "", false
	}
	switch n {
	case tagCommitTime, tagModified:
		return wireTime(f.committed), true
	case tagDeleteCount:
		return strconv.Itoa(f.deletes), true
	case tagContainerClass:
		return f.class, f.class != ""
	case tagContentCount:
		return strconv.Itoa(f.live), true
	case tagUnread:
		return strconv.Itoa(f.unread), true
	case tagSubfolders:
		return strconv.FormatBool(f.children() > 0), true
	case tagURLName:
		return f.name, true
	case tagHidden:
		return "false", true
	case tagNextArticle:
		return strconv.FormatUint(uint64(f.lastUID)+1, 10), true
	case tagLastArticle:
		return strconv.FormatUint(uint64(f.lastUID), 10), true
	}
	return "", false
}

func wireTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
