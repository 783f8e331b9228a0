package ews

import (
	"errors"
	"io"
)

// Namespaces of autodiscover by SOAP.
const (
	nsAutodiscover = "http://schemas.microsoft.com/exchange/2010/Autodiscover"
	nsAddressing   = "http://www.w3.org/2005/08/addressing"
	nsInstance     = "http://www.w3.org/2001/XMLSchema-instance"

	actionUserSettings = nsAutodiscover + "/Autodiscover/GetUserSettings"
)

// errForeignRoot says that a document is none of autodiscover's.
var errForeignRoot = errors.New("another document than was asked for")

// Names of settings that autodiscover knows.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/setting-soap
const (
	SettingExternalEWS = "ExternalEwsUrl"
	SettingInternalEWS = "InternalEwsUrl"
	SettingGrouping    = "GroupingInformation"
	SettingCASVersion  = "CasVersion"
	SettingSchemas     = "EwsSupportedSchemas"
)

// A UserSettingsRequest asks for settings of mailboxes by SOAP, as Exchange 2010 and later
// understand it.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/getusersettings-operation-soap
type UserSettingsRequest struct {
	Version   string // schema that the client speaks
	To        string // URL asked
	Mailboxes []string
	Settings  []string
}

// WriteUserSettingsRequest writes a request.
func WriteUserSettingsRequest(w io.Writer, v *UserSettingsRequest) error {
	x := autodiscoverEnvelope(w, actionUserSettings, func(x *codec) {
		x.text("a:RequestedServerVersion", &v.Version)
	}, v.To)
	x.begin("a:GetUserSettingsRequestMessage")
	v.fields(x)
	x.finish("a:GetUserSettingsRequestMessage")
	return x.endAutodiscover()
}

func (v *UserSettingsRequest) fields(x *codec) {
	x.wrapped("a:Request", true, func(x *codec) {
		list(x, "a:Users", &v.Mailboxes, func(x *codec, mailbox *string) {
			x.wrapped("a:User", true, func(x *codec) { x.text("a:Mailbox", mailbox) })
		})
		list(x, "a:RequestedSettings", &v.Settings, texts("a:Setting"))
	})
}

// ReadUserSettingsRequest reads a request. It is the server's half. What the header says is
// not read: nothing depends on it.
func ReadUserSettingsRequest(r io.Reader) (*UserSettingsRequest, error) {
	v := new(UserSettingsRequest)
	return v, readAutodiscover(r, "GetUserSettingsRequestMessage", v)
}

// Codes of autodiscover's answers.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/errorcode-soap
const (
	AutodiscoverRedirectAddress = "RedirectAddress" // begin again with RedirectTarget
	AutodiscoverRedirectURL     = "RedirectUrl"     // ask at RedirectTarget
	AutodiscoverInvalidUser     = "InvalidUser"
)

// A UserSettingsAnswer answers a UserSettingsRequest.
type UserSettingsAnswer struct {
	Code, Message string // of the whole
	Users         []UserSettings
}

// UserSettings are those of one mailbox.
type UserSettings struct {
	Code, Message  string
	RedirectTarget string
	Errors         []UserSettingError
	Settings       []UserSetting
}

// A UserSetting is one value.
type UserSetting struct{ Name, Value string }

// A UserSettingError says why a setting is not told.
type UserSettingError struct{ Name, Code, Message string }

func (v *UserSettingsAnswer) fields(x *codec) {
	x.wrapped("a:Response", true, func(x *codec) {
		x.declare("xmlns:i", nsInstance)
		x.text("a:ErrorCode", &v.Code)
		x.text("a:ErrorMessage", &v.Message)
		list(x, "a:UserResponses", &v.Users, elements[UserSettings]("a:UserResponse"))
	})
}

func (v *UserSettings) fields(x *codec) {
	x.text("a:ErrorCode", &v.Code)
	x.text("a:ErrorMessage", &v.Message)
	x.text("a:RedirectTarget", &v.RedirectTarget)
	list(x, "a:UserSettingErrors", &v.Errors, elements[UserSettingError]("a:UserSettingError"))
	list(x, "a:UserSettings", &v.Settings, elements[UserSetting]("a:UserSetting"))
}

func (v *UserSettingError) fields(x *codec) {
	x.text("a:ErrorCode", &v.Code)
	x.text("a:ErrorMessage", &v.Message)
	x.text("a:SettingName", &v.Name)
}

func (v *UserSetting) fields(x *codec) {
	x.declare("i:type", "StringSetting") // clients tell by it how to read the value
	x.text("a:Name", &v.Name)
	x.text("a:Value", &v.Value)
}

// Get returns a setting, "" when it was not told.
func (v *UserSettings) Get(name string) string {
	for i := range v.Settings {
		if v.Settings[i].Name == name {
			return v.Settings[i].Value
		}
	}
	return ""
}

// WriteUserSettingsAnswer writes an answer.
func WriteUserSettingsAnswer(w io.Writer, v *UserSettingsAnswer) error {
	x := autodiscoverEnvelope(w, actionUserSettings+"Response", func(*codec) {}, "")
	x.begin("a:GetUserSettingsResponseMessage")
	v.fields(x)
	x.finish("a:GetUserSettingsResponseMessage")
	return x.endAutodiscover()
}

// ReadUserSettingsAnswer reads an answer.
func ReadUserSettingsAnswer(r io.Reader) (*UserSettingsAnswer, error) {
	v := new(UserSettingsAnswer)
	return v, readAutodiscover(r, "GetUserSettingsResponseMessage", v)
}

// autodiscoverEnvelope begins an envelope, up to within its body.
func autodiscoverEnvelope(w io.Writer, action string, header func(*codec), to string) *codec {
	x := &codec{w: w, out: []byte(xmlStart), references: true}
	x.begin("s:Envelope")
	x.attrs("xmlns:s", nsSOAP)
	x.attrs("xmlns:a", nsAutodiscover)
	x.attrs("xmlns:wsa", nsAddressing)
	x.begin("s:Header")
	header(x)
	x.keep("wsa:Action", &action)
	x.text("wsa:To", &to)
	x.finish("s:Header")
	x.begin("s:Body")
	return x
}

func (x *codec) endAutodiscover() error {
	x.finish("s:Body")
	x.finish("s:Envelope")
	x.flush()
	return x.err
}

// readAutodiscover reads an envelope whose body holds an element with this name.
func readAutodiscover(r io.Reader, name string, v element) error {
	x := &codec{d: newDecoder(r)}
	if err := x.openEnvelope(new(Header)); err != nil {
		return err
	}
	if string(x.d.local) != name {
		x.d.fail("body", errForeignRoot)
		return x.d.err
	}
	x.loose = true // one namespace in the documentation, and others in the field
	x.read(v)
	return x.closeEnvelope()
}
