package mail

import (
	"slices"
	"strings"
	"testing"
)

func TestMessageIDIsNormalized(t *testing.T) {
	tests := []struct{ in, want string }{
		{"<AbC@Mail.Acme.Example>", "AbC@mail.acme.example"},
		{"AbC@Mail.Acme.Example", "AbC@mail.acme.example"},
		{" \r\n <abc@acme.example>", "abc@acme.example"},
		{"<abc\r\n @acme.example>", "abc@acme.example"},
		{"(by hand) <abc@acme.example> (really)", "abc@acme.example"},
		{"<abc@acme.example", "abc@acme.example"},
		{"<<abc@acme.example>>", "abc@acme.example"},
		{"<a@b@ACME.example>", "a@b@acme.example"},
		{"<abc@[192.0.2.1]>", "abc@[192.0.2.1]"},
		{"102.10200000000105", "102.10200000000105"},
		{"", ""},
		{"<>", ""},
		{"< >", ""},
		{"<@localhost>", ""},
		{"<NULL>", ""},
		{"<undefined@undefined>", ""},
		{"<" + strings.Repeat("a", 999) + "@acme.example>", ""},
		{"<a\x00b\x7f@acme.example>", "ab@acme.example"},
		{"<a\xffb@acme.example>", "ab@acme.example"},
	}
	for _, tt := range tests {
		got := MessageID(tt.in)
		if got != tt.want {
			t.Errorf("MessageID(%.60q) = %q, want %q", tt.in, got, tt.want)
		}
		if again := MessageID("<" + got + ">"); again != got {
			t.Errorf("MessageID(%q) = %q: not stable", got, again)
		}
	}
}

func TestReferencesEndWithWhatIsAnswered(t *testing.T) {
	tests := []struct {
		name, references, inReplyTo string
		want                        []string
	}{
		{"none", "", "", nil},
		{"a thread", "<a@x.example> <b@X.example>", "<b@x.example>", []string{"a@x.example", "b@x.example"}},
		{"answer to an earlier one", "<a@x.example> <b@x.example>", "<a@x.example>", []string{"b@x.example", "a@x.example"}},
		{"folded, no blanks", "<a@x.example>\r\n\t<b@x.example><c@x.example>", "", []string{"a@x.example", "b@x.example", "c@x.example"}},
		{"twice", "<a@x.example> <a@x.example>", "", []string{"a@x.example"}},
		{"without <>", "a@x.example b@x.example", "c@x.example", []string{"a@x.example", "b@x.example", "c@x.example"}},
		{"a sentence", "", `Your message of "Mon, 1 Jan 2001" from ann@acme.example`, nil},
		{"a sentence with an id", "", `Message from Ann <ann@acme.example> of Monday <a@x.example>`, []string{"ann@acme.example", "a@x.example"}},
		{"comment", "(<not@this.example>) <a@x.example>", "", []string{"a@x.example"}},
	}
	for _, tt := range tests {
		if got := References(tt.references, tt.inReplyTo); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
