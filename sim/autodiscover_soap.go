package sim

import (
	"bytes"
	"errors"
	"io"

	"postern/ews"
	"postern/mail"
)

// maxUsers is how many mailboxes one request may ask for.
const maxUsers = 100

// readUserSettings reads GetUserSettings.
func readUserSettings(raw []byte) (enquiry, error) {
	request, err := ews.ReadUserSettingsRequest(bytes.NewReader(raw))
	if err != nil {
		return enquiry{}, err
	}
	if n := len(request.Mailboxes); n == 0 || n > maxUsers {
		return enquiry{}, errors.New("nobody is asked for, or too many are")
	}
	q := enquiry{settings: request.Settings}
	for _, user := range request.Mailboxes {
		q.users = append(q.users, addressOf(user))
	}
	return q, nil
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/getusersettings-operation-soap
func (c *call) answerUserSettings(q enquiry, bad error) {
	out := &ews.UserSettingsAnswer{Code: "NoError", Users: []ews.UserSettings{}}
	if bad != nil {
		out.Code, out.Message = "InvalidRequest", "The request is invalid."
		c.record.Code = out.Code
	}
	for _, user := range q.users {
		answer := c.settingsOf(user, q.settings)
		if answer.Code != "NoError" && c.record.Code == "" {
			c.record.Code = answer.Code
		}
		out.Users = append(out.Users, answer)
	}
	c.document(func(w io.Writer) error { return ews.WriteUserSettingsAnswer(w, out) })
}

// settingsOf answers for one user.
func (c *call) settingsOf(user mail.Address, settings []string) ews.UserSettings {
	c.x.mu.RLock()
	d := c.x.discovery(user)
	c.x.mu.RUnlock()
	w, found := c.locate(user, &d)
	switch {
	case d.Error != "":
		return ews.UserSettings{Code: d.Error, Message: "The request was refused."}
	case d.RedirectAddress != "":
		return ews.UserSettings{Code: ews.AutodiscoverRedirectAddress, Message: "Redirection address.", RedirectTarget: string(d.RedirectAddress)}
	case d.RedirectURL != "":
		return ews.UserSettings{Code: ews.AutodiscoverRedirectURL, Message: "Redirection URL.", RedirectTarget: d.RedirectURL}
	case !found:
		return ews.UserSettings{Code: ews.AutodiscoverInvalidUser, Message: "Invalid user: '" + string(user) + "'"}
	}
	out := ews.UserSettings{Code: "NoError", Message: "No error."}
	out.Settings, out.Errors = w.settings(settings)
	return out
}

// settings are the values of those that were asked for, and errors for what there is not.
//
// https://learn.microsoft.com/exchange/client-developer/web-service-reference/setting-soap
func (w *whereabouts) settings(names []string) (list []ews.UserSetting, missing []ews.UserSettingError) {
	values := map[string]string{
		"UserDisplayName": w.name, "UserDN": w.dn, "AutoDiscoverSMTPAddress": string(w.address),
		ews.SettingInternalEWS: w.internal, ews.SettingExternalEWS: w.external, ews.SettingGrouping: w.group,
		ews.SettingCASVersion: w.version, "MailboxVersion": w.version, ews.SettingSchemas: w.schemas,
	}
	for _, name := range names {
		if value, known := values[name]; known {
			list = append(list, ews.UserSetting{Name: name, Value: value})
			continue
		}
		missing = append(missing, ews.UserSettingError{Name: name, Code: "SettingIsNotAvailable", Message: "The setting is not available."})
	}
	return list, missing
}
