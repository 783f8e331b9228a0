package sim

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"

	"postern/ews"
)

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/resolvenames-operation
func (c *call) resolveNames(op *ews.ResolveNames) []ews.Answer {
	const most = 100
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	var found []*Mailbox
	if box := c.x.resolve(op.Entry); box != nil {
		found = append(found, box)
	} else {
		for _, box := range c.x.boxes {
			if box.isCalled(op.Entry) {
				found = append(found, box)
			}
		}
	}
	group := c.x.findGroup(op.Entry)
	if len(found) == 0 && group == nil {
		return []ews.Answer{c.failed("ErrorNameResolutionNoResults", "No results were found.")}
	}
	total, last := len(found), len(found) <= most
	result := &ews.ResolveNamesResult{Result: ews.Succeeded(), Paging: ews.Paging{Total: &total, Last: &last}}
	for _, box := range found[:min(total, most)] {
		r := ews.Resolution{Mailbox: ews.Mailbox{Name: box.name, EmailAddress: string(box.address), RoutingType: ews.RoutingSMTP, BoxType: "Mailbox"}}
		if op.FullContact {
			r.Contact = &ews.Contact{
				DisplayName:   box.name,
				Emails:        []ews.Entry{{Key: "EmailAddress1", Value: "SMTP:" + string(box.address)}},
				ContactSource: "ActiveDirectory",
			}
		}
		result.Resolutions = append(result.Resolutions, r)
	}
	if group != nil {
		total++
		result.Resolutions = append(result.Resolutions, ews.Resolution{Mailbox: group.entry()})
	}
	if total > 1 {
		result.Class, result.Code, result.Text = ews.Warning, "ErrorNameResolutionMultipleResults", "Multiple results were found."
	}
	return []ews.Answer{result}
}

// isCalled tells whether what somebody typed may mean this mailbox: the start of its
// address, or of a word of its name.
func (m *Mailbox) isCalled(entry string) bool {
	entry = strings.ToLower(strings.TrimSpace(entry))
	if entry == "" {
		return false
	}
	name := strings.ToLower(m.name)
	return strings.HasPrefix(string(m.address), entry) || strings.HasPrefix(name, entry) || strings.Contains(name, " "+entry)
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/convertid-operation
func (c *call) convertID(op *ews.ConvertID) []ews.Answer {
	answers := make([]ews.Answer, len(op.IDs))
	for i, id := range op.IDs {
		plain, ok := c.plainID(id)
		if !ok {
			answers[i] = c.failed("ErrorInvalidIdMalformed", "Id is malformed.")
			continue
		}
		converted, ok := inFormat(plain, op.Format)
		if !ok {
			answers[i] = c.failed("ErrorUnsupportedTypeForConversion", "The id cannot be converted to "+op.Format+".")
			continue
		}
		// The mailbox of the answer is the real one, whatever the request called it.
		// DavMail finds out its user's address in this way.
		answers[i] = &ews.ConvertIDResult{Result: ews.Succeeded(), ID: &ews.AlternateID{Format: op.Format, ID: converted, Mailbox: string(c.record.Mailbox)}}
	}
	return answers
}

// plainID returns the EWS form of an id.
func (c *call) plainID(id ews.AlternateID) (string, bool) {
	text := id.ID
	var entry []byte
	var err error
	switch id.Format {
	case "EwsId", "EwsLegacyId":
	case "OwaId":
		text, err = url.QueryUnescape(text)
	case "HexEntryId":
		entry, err = hex.DecodeString(text)
	case "EntryId":
		entry, err = base64.StdEncoding.DecodeString(text)
	default:
		return "", false
	}
	switch {
	case err != nil:
		return "", false
	case len(entry) == folderEntry:
		text = base64.StdEncoding.EncodeToString(append(idHead(folderKind, c.box.guid, folderEntry), entry...))
	case len(entry) == messageEntry:
		text = base64.StdEncoding.EncodeToString(append(idHead(itemKind, c.box.guid, messageEntry), entry...))
	}
	_, ok := parseID(text)
	return text, ok
}

// inFormat writes an EWS id in another form.
func inFormat(id, format string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(id)
	if err != nil {
		return "", false
	}
	switch format {
	case "EwsId", "EwsLegacyId":
		return id, true
	case "OwaId":
		return url.QueryEscape(id), true
	case "HexEntryId":
		return strings.ToUpper(hex.EncodeToString(b[idHeadBytes:])), true
	case "EntryId":
		return base64.StdEncoding.EncodeToString(b[idHeadBytes:]), true
	}
	return "", false
}
