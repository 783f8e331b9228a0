package mail

import (
	"iter"
	"strings"
	"time"
)

// A Field is one field of a header. Value is as it came, folded and encoded; it may hold
// any bytes.
type Field struct{ Name, Value string }

// A Header is the header of a message or of one of its parts. Its accessors never fail:
// what is missing or cannot be read is "", nil or zero.
type Header struct {
	fields []Field
}

// All yields the fields in their order.
func (h *Header) All() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, f := range h.fields {
			if !yield(f) {
				return
			}
		}
	}
}

// Has tells whether there is a field of that name, even an empty one.
func (h *Header) Has(name string) bool {
	_, ok := h.raw(name)
	return ok
}

// Get returns the first field of that name: unfolded, valid UTF-8, not decoded.
func (h *Header) Get(name string) string {
	v, _ := h.raw(name)
	return h.clean(v)
}

// Values returns all fields of that name, each as Get would.
func (h *Header) Values(name string) []string {
	var list []string
	for _, f := range h.fields {
		if strings.EqualFold(f.Name, name) {
			list = append(list, h.clean(f.Value))
		}
	}
	return list
}

// Text returns the first field of that name with its encoded words resolved, on one line.
func (h *Header) Text(name string) string { return oneLine(decodeWords(h.Get(name))) }

// Subject is decoded, on one line.
func (h *Header) Subject() string { return h.Text("Subject") }

// From holds more than one entry in rare and in forged mail.
func (h *Header) From() []Named    { return h.list("From") }
func (h *Header) Sender() []Named  { return h.list("Sender") }
func (h *Header) To() []Named      { return h.list("To") }
func (h *Header) Cc() []Named      { return h.list("Cc") }
func (h *Header) Bcc() []Named     { return h.list("Bcc") }
func (h *Header) ReplyTo() []Named { return h.list("Reply-To") }

// Date is when the message was sent, as its sender says, in UTC; zero when unknown.
func (h *Header) Date() time.Time {
	t, _ := ParseDate(h.Get("Date"))
	return t
}

// MessageID is normalised as by the function of that name.
func (h *Header) MessageID() string {
	for _, v := range h.Values("Message-ID") {
		if id := MessageID(v); id != "" {
			return id
		}
	}
	return ""
}

// References are the ids that the message answers to, as by the function of that name.
func (h *Header) References() []string {
	return References(strings.Join(h.Values("References"), " "), h.Get("In-Reply-To"))
}

// Sensitivity is "personal", "private" or "confidential" when the sender marked the
// message so, else "".
func (h *Header) Sensitivity() string {
	switch s := strings.ToLower(h.Get("Sensitivity")); s {
	case "personal", "private":
		return s
	case "company-confidential", "confidential":
		return "confidential"
	}
	return ""
}

func (h *Header) raw(name string) (string, bool) {
	for _, f := range h.fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}

// clean unfolds a value. Bytes beyond ASCII that are not UTF-8 are read in the charset
// that the message declares for its text, for lack of a better hint.
func (h *Header) clean(v string) string {
	v = unfold(v)
	if isASCII(v) && strings.IndexByte(v, 0) < 0 {
		return v
	}
	charset := ""
	if ct, ok := h.raw("Content-Type"); ok && guess([]byte(v)) != v {
		_, params := parseParams(toUTF8([]byte(unfold(ct)), ""))
		charset = params["charset"]
	}
	return toUTF8([]byte(v), charset)
}

// list reads all fields of that name as one list.
func (h *Header) list(name string) []Named {
	var list []Named
	for _, v := range h.Values(name) {
		list = append(list, ParseList(v)...)
	}
	return list
}
