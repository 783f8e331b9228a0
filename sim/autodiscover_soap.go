package sim

import (
	"encoding/xml"
	"errors"
	"strings"

	"postern/mail"
)

const (
	nsDiscovery = "http://schemas.microsoft.com/exchange/2010/Autodiscover"
	actionGet   = nsDiscovery + "/Autodiscover/GetUserSettings"

	// maxUsers is how many mailboxes one request may ask for.
	maxUsers = 100
)

// readDiscoverySOAP reads GetUserSettings.
//
// https://learn.microsoft.com/exchange/client-developer/web-service-reference/getusersettings-operation-soap
func readDiscoverySOAP(raw []byte) (enquiry, error) {
	var in struct {
		Action  string `xml:"Header>Action"`
		Message *struct {
			Users    []string `xml:"Request>Users>User>Mailbox"`
			Settings []string `xml:"Request>RequestedSettings>Setting"`
		} `xml:"Body>GetUserSettingsRequestMessage"`
	}
	if err := xml.Unmarshal(raw, &in); err != nil {
		return enquiry{}, err
	}
	if in.Message == nil || strings.TrimSpace(in.Action) != actionGet || len(in.Message.Users) == 0 || len(in.Message.Users) > maxUsers {
		return enquiry{}, errors.New("not a request for the settings of some users")
	}
	q := enquiry{settings: in.Message.Settings}
	for _, user := range in.Message.Users {
		q.users = append(q.users, mail.Address(strings.ToLower(strings.TrimSpace(user))))
	}
	return q, nil
}

type soapEnvelope struct {
	XMLName xml.Name `xml:"s:Envelope"`
	SOAP    string   `xml:"xmlns:s,attr"`
	WSA     string   `xml:"xmlns:a,attr"`
	Action  string   `xml:"s:Header>a:Action"`
	Version struct {
		Space      string `xml:"xmlns:h,attr"`
		Major      int    `xml:"h:MajorVersion"`
		Minor      int    `xml:"h:MinorVersion"`
		MajorBuild int    `xml:"h:MajorBuildNumber"`
		MinorBuild int    `xml:"h:MinorBuildNumber"`
	} `xml:"s:Header>h:ServerVersionInfo"`
	Body soapSettings `xml:"s:Body>GetUserSettingsResponseMessage"`
}

type soapSettings struct {
	Space    string `xml:"xmlns,attr"`
	Response struct {
		Instance  string `xml:"xmlns:i,attr"`
		ErrorCode string
		Message   string     `xml:"ErrorMessage"`
		Users     []soapUser `xml:"UserResponses>UserResponse"`
	}
}

type soapUser struct {
	ErrorCode string
	Message   string `xml:"ErrorMessage"`
	Target    soapTarget
	Errors    []soapSettingError `xml:"UserSettingErrors>UserSettingError"`
	Settings  []soapSetting      `xml:"UserSettings>UserSetting"`
}

type soapTarget struct {
	XMLName xml.Name `xml:"RedirectTarget"`
	Nil     bool     `xml:"i:nil,attr,omitempty"`
	Text    string   `xml:",chardata"`
}

type soapSettingError struct {
	ErrorCode, ErrorMessage, SettingName string
}

type soapSetting struct {
	Type  string `xml:"i:type,attr"`
	Name  string
	Value string
}

func (c *call) answerDiscoverySOAP(q enquiry, bad error) {
	var out soapEnvelope
	out.SOAP, out.WSA = "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2005/08/addressing"
	out.Action = actionGet + "Response"
	s := c.x.server
	out.Version.Space, out.Version.Major, out.Version.Minor, out.Version.MajorBuild, out.Version.MinorBuild = nsDiscovery, s.major, s.minor, s.build, s.revision
	out.Body.Space = nsDiscovery
	r := &out.Body.Response
	r.Instance = "http://www.w3.org/2001/XMLSchema-instance"
	r.ErrorCode = "NoError"
	if bad != nil {
		r.ErrorCode, r.Message = "InvalidRequest", "The request is invalid."
		c.record.Code = r.ErrorCode
	}
	for _, user := range q.users {
		answer := c.settingsOf(user, q.settings)
		if answer.ErrorCode != "NoError" && c.record.Code == "" {
			c.record.Code = answer.ErrorCode
		}
		r.Users = append(r.Users, answer)
	}
	c.marshal(out)
}

// settingsOf answers for one user.
func (c *call) settingsOf(user mail.Address, settings []string) soapUser {
	c.x.mu.RLock()
	d := c.x.discovery(user)
	c.x.mu.RUnlock()
	out := soapUser{ErrorCode: "NoError", Message: "No error.", Target: soapTarget{Nil: true}}
	w, ok := c.locate(user, &d)
	switch {
	case d.Error != "":
		out.ErrorCode, out.Message = d.Error, "The request was refused."
	case d.RedirectAddress != "":
		out.ErrorCode, out.Message, out.Target = "RedirectAddress", "Redirection address.", soapTarget{Text: string(d.RedirectAddress)}
	case d.RedirectURL != "":
		out.ErrorCode, out.Message, out.Target = "RedirectUrl", "Redirection URL.", soapTarget{Text: d.RedirectURL}
	case !ok:
		out.ErrorCode, out.Message = "InvalidUser", "Invalid user: '"+string(user)+"'"
	default:
		out.Settings, out.Errors = w.settings(settings)
	}
	return out
}

// settings are the values of those that were asked for, and errors for what there is not.
//
// https://learn.microsoft.com/exchange/client-developer/web-service-reference/setting-soap
func (w *whereabouts) settings(names []string) (list []soapSetting, missing []soapSettingError) {
	values := map[string]string{
		"UserDisplayName": w.name, "UserDN": w.dn, "AutoDiscoverSMTPAddress": string(w.address),
		"InternalEwsUrl": w.internal, "ExternalEwsUrl": w.external, "GroupingInformation": w.group,
		"CasVersion": w.cas, "MailboxVersion": w.cas, "EwsSupportedSchemas": w.schemas,
	}
	for _, name := range names {
		if value, known := values[name]; known {
			list = append(list, soapSetting{Type: "StringSetting", Name: name, Value: value})
			continue
		}
		missing = append(missing, soapSettingError{"SettingIsNotAvailable", "The setting is not available.", name})
	}
	return list, missing
}
