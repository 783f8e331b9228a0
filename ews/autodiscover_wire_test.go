package ews

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestAutodiscoverDocumentsReadAsWritten: what one end writes, the other reads.
func TestAutodiscoverDocumentsReadAsWritten(t *testing.T) {
	t.Run("pox request", func(t *testing.T) {
		var b bytes.Buffer
		if err := WritePOXRequest(&b, "ann@acme.example"); err != nil {
			t.Fatal(err)
		}
		want := `<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>ann@acme.example</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>`
		if b.String() != want {
			t.Errorf("wrote %s", b.String())
		}
		got, err := ReadPOXRequest(&b)
		if err != nil || got.Address != "ann@acme.example" {
			t.Errorf("read %+v, %v", got, err)
		}
	})
	t.Run("pox answer", func(t *testing.T) {
		for _, want := range []*POXAnswer{
			{DisplayName: "Ann & Co", AccountType: "email", Action: POXSettings, Protocols: []POXProtocol{{Type: "EXCH", Server: "ex1", EWSURL: "https://in.acme.example/EWS/Exchange.asmx"}, {Type: "EXPR", ASURL: "https://out.acme.example/EWS/Exchange.asmx"}}},
			{AccountType: "email", Action: POXRedirect, RedirectAddress: "ann@cloud.acme.example", Cloud: true},
			{AccountType: "email", Action: POXRedirectURL, RedirectURL: "https://other.acme.example/autodiscover/autodiscover.xml"},
			{Error: &POXError{Code: "600", Message: "Invalid Request"}},
		} {
			var b bytes.Buffer
			if err := WritePOXAnswer(&b, want); err != nil {
				t.Fatal(err)
			}
			got, err := ReadPOXAnswer(&b)
			if d := gocmp.Diff(want, got); err != nil || d != "" {
				t.Errorf("%v %s", err, d)
			}
		}
	})
	t.Run("soap", func(t *testing.T) {
		want := &UserSettingsRequest{Version: Exchange2013, To: "https://a/", Mailboxes: []string{"ann@acme.example", "bob@acme.example"}, Settings: []string{SettingExternalEWS, SettingGrouping}}
		var b bytes.Buffer
		if err := WriteUserSettingsRequest(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadUserSettingsRequest(&b)
		if err != nil || !gocmp.Equal(want.Mailboxes, got.Mailboxes) || !gocmp.Equal(want.Settings, got.Settings) {
			t.Errorf("%+v, %v", got, err)
		}
		answer := &UserSettingsAnswer{Code: NoError, Users: []UserSettings{
			{Code: NoError, Settings: []UserSetting{{SettingExternalEWS, "https://out.acme.example/EWS/Exchange.asmx"}}, Errors: []UserSettingError{{SettingGrouping, "SettingIsNotAvailable", "no"}}},
			{Code: AutodiscoverRedirectAddress, RedirectTarget: "bob@cloud.acme.example"},
		}}
		if err := WriteUserSettingsAnswer(&b, answer); err != nil {
			t.Fatal(err)
		}
		read, err := ReadUserSettingsAnswer(&b)
		if d := gocmp.Diff(answer, read); err != nil || d != "" {
			t.Errorf("%v %s", err, d)
		}
	})
}

// TestPOXAnswerPrefersTheOutside: what is for those inside is only taken when there is
// nothing else.
func TestPOXAnswerPrefersTheOutside(t *testing.T) {
	for _, tt := range []struct {
		protocols []POXProtocol
		want      string
	}{
		{[]POXProtocol{{Type: "EXCH", EWSURL: "in"}, {Type: "EXPR", EWSURL: "out"}}, "out"},
		{[]POXProtocol{{Type: "EXCH", EWSURL: "in"}, {Type: "EXPR", ASURL: "out"}}, "out"},
		{[]POXProtocol{{Type: "exch", EWSURL: "in"}, {Type: "WEB"}}, "in"},
		{[]POXProtocol{{Type: "EXCH", EWSURL: "in"}, {Type: "EXHTTP", EWSURL: "http"}}, "http"},
		{nil, ""},
	} {
		if got := (&POXAnswer{Protocols: tt.protocols}).EWS(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.protocols, got, tt.want)
		}
	}
}

// TestAutodiscoverReadsMicrosoftsSamples reads what the documentation shows.
func TestAutodiscoverReadsMicrosoftsSamples(t *testing.T) {
	open := func(name string) io.Reader {
		b, err := os.ReadFile(filepath.Join(shared(t, "fixtures/microsoft-docs"), name))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.NewReader(b)
	}
	answer, err := ReadUserSettingsAnswer(open("how-to-use-autodiscover-to-find-connection-points-04.response.ok.xml"))
	if err != nil || len(answer.Users) != 1 || answer.Users[0].Get(SettingExternalEWS) != "https://server.Contoso.com/ews/exchange.asmx" {
		t.Errorf("%+v, %v", answer, err)
	}
	answer, err = ReadUserSettingsAnswer(open("getusersettings-operation-soap-01.response.ok.xml"))
	if err != nil || len(answer.Users) != 1 || answer.Users[0].Get(SettingCASVersion) != "14.00.0478.000" {
		t.Errorf("%+v, %v", answer, err)
	}
	req, err := ReadUserSettingsRequest(open("how-to-get-user-settings-from-exchange-by-using-autodiscover-03.request.ok.xml"))
	if err != nil || !gocmp.Equal(req.Mailboxes, []string{"mara@contoso.com"}) || len(req.Settings) != 15 {
		t.Errorf("%+v, %v", req, err)
	}
	if _, err := ReadUserSettingsAnswer(open("how-to-get-user-settings-from-exchange-by-using-autodiscover-04.response.malformed.xml")); err == nil {
		t.Error("the malformed sample was read")
	}
}

// TestAutodiscoverRefusesWhatIsNone: a page, a document type, a torn answer.
func TestAutodiscoverRefusesWhatIsNone(t *testing.T) {
	const entity = `<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><Autodiscover><Response><Account><Action>&e;</Action></Account></Response></Autodiscover>`
	if _, err := ReadPOXAnswer(strings.NewReader(entity)); !errors.Is(err, errDoctype) {
		t.Errorf("document type: %v", err)
	}
	if _, err := ReadUserSettingsAnswer(strings.NewReader(entity)); !errors.Is(err, errDoctype) {
		t.Errorf("document type: %v", err)
	}
	if _, err := ReadPOXAnswer(strings.NewReader(`<html><body>hello</body></html>`)); !errors.Is(err, errForeignRoot) {
		t.Errorf("page: %v", err)
	}
	if _, err := ReadPOXAnswer(strings.NewReader(`<Autodiscover><Response>`)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("torn: %v", err)
	}
	if _, err := ReadDiscoveredURL(strings.NewReader(`<html>`)); err == nil {
		t.Error("a page was taken for JSON")
	}
}

func FuzzPOXAnswer(f *testing.F) {
	f.Add(`<Autodiscover xmlns="x"><Response xmlns="y"><Account><Action>redirectUrl</Action><RedirectUrl>https://a/</RedirectUrl><Protocol><Type>EXPR</Type><EwsUrl>u</EwsUrl></Protocol></Account></Response></Autodiscover>`)
	f.Add(`<Autodiscover><Response><Error><ErrorCode>600</ErrorCode></Error></Response></Autodiscover>`)
	f.Fuzz(func(t *testing.T, in string) {
		v, err := ReadPOXAnswer(strings.NewReader(in))
		if err != nil {
			return
		}
		again(t, v, WritePOXAnswer, ReadPOXAnswer)
	})
}

func FuzzUserSettingsAnswer(f *testing.F) {
	var b bytes.Buffer
	_ = WriteUserSettingsAnswer(&b, &UserSettingsAnswer{Code: NoError, Users: []UserSettings{{Code: AutodiscoverRedirectURL, RedirectTarget: "https://a/", Settings: []UserSetting{{"n", "v"}}}}})
	f.Add(b.String())
	f.Fuzz(func(t *testing.T, in string) {
		v, err := ReadUserSettingsAnswer(strings.NewReader(in))
		if err != nil {
			return
		}
		again(t, v, WriteUserSettingsAnswer, ReadUserSettingsAnswer)
	})
}

// again holds a value that was read against what its own writing reads as.
func again[T any](t *testing.T, v *T, write func(io.Writer, *T) error, read func(io.Reader) (*T, error)) {
	t.Helper()
	var first, second bytes.Buffer
	if err := write(&first, v); err != nil {
		t.Fatal(err)
	}
	text := first.String()
	next, err := read(&first)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v\n%s", err, text)
	}
	if err := write(&second, next); err != nil || second.String() != text {
		t.Fatalf("%v: written again it is\n%s\nand was\n%s", err, second.String(), text)
	}
}

func FuzzDiscoveredURL(f *testing.F) {
	f.Add(`{"Protocol":"EWS","Url":"https://a/EWS/Exchange.asmx"}`)
	f.Fuzz(func(t *testing.T, in string) {
		if v, err := ReadDiscoveredURL(strings.NewReader(in)); err == nil {
			_, _, _ = publishedEndpoint(v.URL)
		}
	})
}
