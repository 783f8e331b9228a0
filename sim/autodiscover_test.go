package sim

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"postern/mail"
)

// enquire sends a request to Autodiscover; signed in unless user is empty.
func enquire(t *testing.T, x *Exchange, method, target, user, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "https://autodiscover.company.example"+target, strings.NewReader(body))
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	w := httptest.NewRecorder()
	x.ServeHTTP(w, r)
	return w
}

func askPOX(address mail.Address) string {
	return `<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>` +
		string(address) + `</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>`
}

func askSOAP(settings string, users ...mail.Address) string {
	var b strings.Builder
	b.WriteString(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsa="http://www.w3.org/2005/08/addressing" xmlns:a="http://schemas.microsoft.com/exchange/2010/Autodiscover"><s:Header><a:RequestedServerVersion>Exchange2013</a:RequestedServerVersion><wsa:Action>http://schemas.microsoft.com/exchange/2010/Autodiscover/Autodiscover/GetUserSettings</wsa:Action></s:Header><s:Body><a:GetUserSettingsRequestMessage><a:Request><a:Users>`)
	for _, u := range users {
		fmt.Fprintf(&b, "<a:User><a:Mailbox>%s</a:Mailbox></a:User>", u)
	}
	b.WriteString("</a:Users><a:RequestedSettings>")
	for s := range strings.FieldsSeq(settings) {
		fmt.Fprintf(&b, "<a:Setting>%s</a:Setting>", s)
	}
	b.WriteString("</a:RequestedSettings></a:Request></a:GetUserSettingsRequestMessage></s:Body></s:Envelope>")
	return b.String()
}

// foundPOX is what a client reads from POX.
type foundPOX struct {
	XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
	Response struct {
		Code    string `xml:"Error>ErrorCode"`
		Name    string `xml:"User>DisplayName"`
		Account struct {
			Action       string
			Online       string `xml:"MicrosoftOnline"`
			RedirectAddr string
			RedirectURL  string `xml:"RedirectUrl"`
			Protocols    []struct {
				Type string
				EWS  string `xml:"EwsUrl"`
				AS   string `xml:"ASUrl"`
			} `xml:"Protocol"`
		}
	}
}

func readFoundPOX(t *testing.T, w *httptest.ResponseRecorder) foundPOX {
	t.Helper()
	var found foundPOX
	if err := xml.Unmarshal(w.Body.Bytes(), &found); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
	}
	return found
}

func TestAutodiscoverPOX(t *testing.T) {
	x := newExchange(t, Options{Servers: 2})
	if w := enquire(t, x, "POST", pathPOX, "", askPOX(bob)); w.Code != 401 {
		t.Errorf("without a log-on: %d", w.Code)
	}
	found := readFoundPOX(t, enquire(t, x, "POST", "/Autodiscover/Autodiscover.xml", login, askPOX("Bob@company.example")))
	p := found.Response.Account.Protocols
	if len(p) != 2 || p[0].Type != "EXCH" || p[1].Type != "EXPR" || p[0].EWS != "https://autodiscover.company.example/EWS/Exchange.asmx" || p[1].AS != p[0].EWS ||
		found.Response.Account.Action != "settings" || found.Response.Name != "Bob Baker" {
		t.Errorf("found %+v", found)
	}
	x.Discover(string(ann), Discovery{EWS: "https://inside/EWS/Exchange.asmx", ExternalEWS: "https://outside/EWS/Exchange.asmx", Group: "Site2", Online: true})
	p = readFoundPOX(t, enquire(t, x, "POST", pathPOX, login, askPOX("ann.archer@company.example"))).Response.Account.Protocols
	if p[0].EWS == "https://inside/EWS/Exchange.asmx" {
		t.Error("what is said of an address is said of its alias")
	}
	found = readFoundPOX(t, enquire(t, x, "POST", pathPOX, login, askPOX(ann)))
	if p = found.Response.Account.Protocols; p[0].EWS != "https://inside/EWS/Exchange.asmx" || p[1].EWS != "https://outside/EWS/Exchange.asmx" || !strings.EqualFold(found.Response.Account.Online, "true") {
		t.Errorf("found %+v", found)
	}
	for name, tt := range map[string]struct{ body, want string }{
		"nobody":          {askPOX("zoe@company.example"), "500"},
		"no XML":          {"address", "600"},
		"another schema":  {strings.ReplaceAll(askPOX(ann), "responseschema/2006a", "responseschema/2003"), "600"},
		"without address": {askPOX(""), "600"},
	} {
		if got := readFoundPOX(t, enquire(t, x, "POST", pathPOX, login, tt.body)).Response.Code; got != tt.want {
			t.Errorf("%s: code %s, want %s", name, got, tt.want)
		}
	}
	x.Discover("@company.example", Discovery{RedirectAddress: "ann@cloud.example"})
	if a := readFoundPOX(t, enquire(t, x, "POST", pathPOX, login, askPOX(bob))).Response.Account; a.Action != "redirectAddr" || a.RedirectAddr != "ann@cloud.example" {
		t.Errorf("another address: %+v", a)
	}
	x.Discover(string(bob), Discovery{RedirectURL: "https://elsewhere.example" + pathPOX})
	if a := readFoundPOX(t, enquire(t, x, "POST", pathPOX, login, askPOX(bob))).Response.Account; a.Action != "redirectUrl" || a.RedirectURL != "https://elsewhere.example"+pathPOX {
		t.Errorf("another server: %+v", a)
	}
	x.ForgetDiscoveries()
	if a := readFoundPOX(t, enquire(t, x, "POST", pathPOX, login, askPOX(bob))).Response.Account; a.Action != "settings" {
		t.Errorf("after all was forgotten: %+v", a)
	}
	r := x.Requests()[0]
	if r.Operation != "Autodiscover.POX" || r.Status != 401 || r.Authorization != "" || r.Mailbox != bob || r.Host != "autodiscover.company.example" || r.Path != pathPOX {
		t.Errorf("on record: %+v", r)
	}
}

func TestAutodiscoverSOAP(t *testing.T) {
	x := newExchange(t, Options{})
	x.Discover(string(bob), Discovery{RedirectAddress: "bob@cloud.example"})
	x.Discover("eve@company.example", Discovery{RedirectURL: "https://elsewhere.example" + pathSOAP})
	x.Discover("max@company.example", Discovery{Error: "ServerBusy"})
	w := enquire(t, x, "POST", pathSOAP, login, askSOAP("ExternalEwsUrl GroupingInformation EwsSupportedSchemas Teapot", ann, bob, "zoe@company.example", "eve@company.example", "max@company.example"))
	var found struct {
		Action  string `xml:"Header>Action"`
		Message struct {
			XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/2010/Autodiscover GetUserSettingsResponseMessage"`
			Code     string   `xml:"Response>ErrorCode"`
			Response []struct {
				Code    string `xml:"ErrorCode"`
				Target  string `xml:"RedirectTarget"`
				Missing []struct {
					Code string `xml:"ErrorCode"`
					Name string `xml:"SettingName"`
				} `xml:"UserSettingErrors>UserSettingError"`
				Settings []struct{ Name, Value string } `xml:"UserSettings>UserSetting"`
			} `xml:"Response>UserResponses>UserResponse"`
		} `xml:"Body>GetUserSettingsResponseMessage"`
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &found); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	list := found.Message.Response
	if found.Message.Code != "NoError" || len(list) != 5 || !strings.HasSuffix(found.Action, "GetUserSettingsResponse") {
		t.Fatalf("found %+v", found)
	}
	if s := list[0].Settings; len(s) != 3 || s[0].Value != "https://autodiscover.company.example/EWS/Exchange.asmx" || s[1].Value != "sim01" || !strings.Contains(s[2].Value, "Exchange2013_SP1") {
		t.Errorf("settings %+v", s)
	}
	if m := list[0].Missing; len(m) != 1 || m[0].Code != "SettingIsNotAvailable" || m[0].Name != "Teapot" {
		t.Errorf("missing %+v", m)
	}
	var codes []string
	for _, user := range list {
		codes = append(codes, user.Code+" "+user.Target)
	}
	if want := []string{"NoError ", "RedirectAddress bob@cloud.example", "InvalidUser ", "RedirectUrl https://elsewhere.example" + pathSOAP, "ServerBusy "}; !slices.Equal(codes, want) {
		t.Errorf("got %q", codes)
	}
	if w := enquire(t, x, "POST", pathSOAP, login, "<nothing/>"); !strings.Contains(w.Body.String(), "ErrorCode>InvalidRequest</") {
		t.Errorf("no request: %s", w.Body)
	}
	old := newExchange(t, Options{Version: Exchange2007SP1})
	if w := enquire(t, old, "POST", pathSOAP, login, askSOAP("ExternalEwsUrl", ann)); w.Code != 404 {
		t.Errorf("Exchange 2007 speaks SOAP: %d", w.Code)
	}
}

func TestAutodiscoverJSON(t *testing.T) {
	x := newExchange(t, Options{})
	x.Discover("old@company.example", Discovery{RedirectAddress: ann})
	x.Discover("moved@company.example", Discovery{RedirectURL: "https://elsewhere.example" + pathJSON})
	for _, tt := range []struct {
		target string
		status int
		want   string // of the field that matters, or the header Location
	}{
		{pathJSON + "?Email=ann@company.example&Protocol=EWS", 200, "https://autodiscover.company.example/EWS/Exchange.asmx"},
		{pathJSON + "/v1.0/ann@company.example?Protocol=ews", 200, "https://autodiscover.company.example/EWS/Exchange.asmx"},
		{pathJSON + "?Email=zoe@company.example&Protocol=EWS", 404, "UserNotFound"},
		{pathJSON + "?Email=ann@company.example&Protocol=Teapot", 400, "InvalidProtocol"},
		{pathJSON + "?Email=ann@company.example", 400, "MandatoryParameterMissing"},
		{pathJSON + "?Protocol=EWS", 400, "MissingParameter"},
		{pathJSON + "?Email=old@company.example&Protocol=EWS", 302, "https://autodiscover.company.example" + pathJSON + "?Email=ann%40company.example&Protocol=EWS"},
		{pathJSON + "?Email=moved@company.example&Protocol=EWS", 302, "https://elsewhere.example" + pathJSON},
	} {
		w := enquire(t, x, "GET", tt.target, "", "")
		got := w.Header().Get("Location")
		if tt.status != 302 {
			var answer map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Errorf("%s: %v in %s", tt.target, err, w.Body)
			}
			got = answer["Url"] + answer["ErrorCode"]
		}
		if w.Code != tt.status || got != tt.want {
			t.Errorf("%s: got %d %q, want %d %q", tt.target, w.Code, got, tt.status, tt.want)
		}
	}
	old := newExchange(t, Options{Version: Exchange2013SP1})
	if w := enquire(t, old, "GET", pathJSON+"?Email=ann@company.example&Protocol=EWS", "", ""); w.Code != 404 {
		t.Errorf("Exchange 2013 speaks JSON: %d", w.Code)
	}
}

// follow goes where it is sent, up to so many times.
func follow(t *testing.T, x *Exchange, target string, most int) (hops int, last *httptest.ResponseRecorder) {
	for ; ; hops++ {
		last = enquire(t, x, "POST", target, login, askPOX(ann))
		if last.Code != 302 || hops == most {
			return hops, last
		}
		u, err := url.Parse(last.Header().Get("Location"))
		if err != nil || u.Host != "autodiscover.company.example" || u.Scheme != "https" {
			t.Fatalf("sent to %v, %v", u, err)
		}
		target = u.RequestURI()
	}
}

func TestAutodiscoverMisleads(t *testing.T) {
	x := newExchange(t, Options{})
	x.Discover("", Discovery{Location: "http://169.254.169.254/latest/meta-data"})
	for _, form := range []string{"POST " + pathPOX, "POST " + pathSOAP, "GET " + pathJSON, "GET " + pathPOX} {
		method, path, _ := strings.Cut(form, " ")
		if w := enquire(t, x, method, path, "", ""); w.Code != 302 || w.Header().Get("Location") != "http://169.254.169.254/latest/meta-data" {
			t.Errorf("%s: %d %v", form, w.Code, w.Header())
		}
	}
	x.Discover("", Discovery{Hops: 100})
	if hops, w := follow(t, x, pathPOX, 1000); hops != 100 || w.Code != 200 {
		t.Errorf("%d hops, then %d", hops, w.Code)
	}
	x.Discover("", Discovery{Hops: -1})
	if hops, w := follow(t, x, pathPOX, 50); hops != 50 || w.Code != 302 {
		t.Errorf("the circle ends after %d hops with %d", hops, w.Code)
	}
	x.Discover("", Discovery{Offer: []Scheme{Basic}})
	if w := enquire(t, x, "POST", pathPOX, login, askPOX(ann)); w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("a collector of passwords: %d %v", w.Code, w.Header())
	}
	list := x.Requests()
	if r := list[len(list)-1]; r.Authorization != Basic || r.Account != "" {
		t.Errorf("on record: %+v", r)
	}
	x.Discover("", Discovery{Status: 503})
	if w := enquire(t, x, "POST", pathPOX, login, askPOX(ann)); w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
	for o, want := range map[Oddity]string{OddGarbage: "\x00\xff", OddDTD: "<!DOCTYPE", OddPage: "<!DOCTYPE html>"} {
		x.Discover("", Discovery{Answer: o})
		if w := enquire(t, x, "POST", pathPOX, login, askPOX(ann)); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %.200q", o, w.Code, w.Body)
		}
	}
}

// TestHugeAnswerIsHuge reads as much of it as no client should.
func TestHugeAnswerIsHuge(t *testing.T) {
	x := newExchange(t, Options{})
	x.Discover("", Discovery{Answer: OddHuge})
	face, err := x.Listen("127.0.0.1:0", Front{})
	if err != nil {
		t.Fatal(err)
	}
	defer face.Close()
	resp, err := http.Post(face.URL+pathPOX, "text/xml", bytes.NewReader([]byte(askPOX(ann))))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<20)); err != nil || n != 64<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
