package crm_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"strings"
	"testing"

	"postern/crm"
)

// canary is looked for in clear, and as the bytes of %x.
const canary = "xyzzy-canary"

// Whatever prints a secret, or what holds it, prints no secret.
func TestSecretIsPrintedNowhere(t *testing.T) {
	s := crm.NewSecret(canary)
	type hidden struct{ word crm.Secret } // fmt calls no methods of these
	holders := map[string]any{
		"secret": s, "pointer": &s, "field": crm.Settings{Password: s}, "field's pointer": &crm.Settings{Password: s}, "unexported": hidden{s}, "unexported pointer": &hidden{s},
		"slice": []crm.Secret{s}, "map": map[string]crm.Secret{"word": s}, "list of structs": []crm.Account{{Login: "x", Password: s}}, "interface": []any{s, hidden{s}},
		"error": fmt.Errorf("with %v and %+v: %w", s, hidden{s}, errors.New("y")),
	}
	for what, v := range holders {
		var out bytes.Buffer
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %t %p %T % x %10.3s %b %U") {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		out.WriteString(panics(v))
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("holds", "it", v, slog.Group("in", "it", v))
		}
		// What cannot be written in a form at all is no leak.
		_ = json.NewEncoder(&out).Encode(v)
		_ = xml.NewEncoder(&out).Encode(v)
		_ = gob.NewEncoder(&out).Encode(v)
		for _, text := range []string{"{{.}}", "<a title='{{.}}' href='/?{{.}}'>", "<script>x={{.}}</script>", "{{printf `%#v %x` . .}}"} {
			_ = template.Must(template.New("").Parse(text)).Execute(&out, v)
		}
		if leaks(out.String()) {
			t.Errorf("%s: the secret stands in\n%s", what, out.String())
		}
	}
	if !leaks(fmt.Sprintf("%+v", struct{ text string }{canary})) || !leaks(fmt.Sprintf("%x", canary)) {
		t.Error("the search of this test finds nothing")
	}
}

func panics(v any) (said string) {
	defer func() { said = fmt.Sprint("panic: ", recover()) }()
	panic(v)
}

func leaks(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, canary) || strings.Contains(strings.ReplaceAll(text, " ", ""), fmt.Sprintf("%x", canary))
}

func TestSecretEqual(t *testing.T) {
	if !crm.NewSecret("a").Equal(crm.NewSecret("a")) || crm.NewSecret("a").Equal(crm.NewSecret("b")) || !crm.NewSecret("").Equal(crm.Secret{}) || !crm.NewSecret("").Empty() || crm.NewSecret("a").Empty() {
		t.Error("secrets compare by something else than their texts")
	}
}
