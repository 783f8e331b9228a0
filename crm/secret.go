package crm

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is kept out of logs, errors, pages and dumps: every way of printing it, or what
// holds it, shows "[redacted]". Reveal gives the text to the one place that needs it.
type Secret struct {
	// Behind a pointer, for fmt calls no method of what stands in an unexported field, but
	// prints what it finds there.
	text *string
	// == would compare pointers; it does not compile.
	_ [0]func()
}

const redacted = "[redacted]"

// NewSecret wraps a secret text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty tells whether there is no text.
func (s Secret) Empty() bool { return s.text == nil }

// Equal tells whether two are the same text.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Secret) GobEncode() ([]byte, error)   { return []byte(redacted), nil }
