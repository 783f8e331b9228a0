package sim

import (
	"slices"
	"strings"

	"postern/ews"
)

// A plan is what a shape asks for, worked out once for all items of a request.
//
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/property-sets-and-response-shapes-in-ews-in-exchange
type plan struct {
	fields   map[string]bool // by URI: "item:Subject"
	extended []ews.ExtendedFieldURI
	listing  bool   // FindItem and SyncFolderItems: no content, people by name only
	bodyType string // Best, HTML or Text
	maxBody  int    // characters; 0 = all
	mime     bool
}

// textFields need the letter's body.
var textFields = []string{"item:Body", "item:Attachments", "item:TextBody", "item:UniqueBody", "item:NormalizedBody", "item:Preview"}

// unlisted are properties that FindItem and SyncFolderItems cannot return.
var unlisted = []string{"item:Body", "item:Attachments", "item:MimeContent", "item:TextBody", "item:UniqueBody", "item:NormalizedBody",
	"message:ToRecipients", "message:CcRecipients", "message:BccRecipients", "message:ReplyTo", "item:InternetMessageHeaders"}

// newer says from which schema on there is a property; what is not listed is old.
var newer = map[string]schema{
	"item:ConversationId":  schema2010,
	"item:UniqueBody":      schema2010,
	"item:IsAssociated":    schema2010,
	"message:ReceivedBy":   schema2007SP1,
	"item:Preview":         schema2013,
	"item:NormalizedBody":  schema2013,
	"item:TextBody":        schema2013,
	"item:Flag":            schema2013,
	"item:InstanceKey":     schema2013,
	"item:StoreEntryId":    schema2013,
	"item:MimeContentUTF8": schema2016,
}

var defaultFields = []string{"item:Subject", "item:Sensitivity", "item:Size", "item:DateTimeReceived", "item:DateTimeSent", "item:DateTimeCreated",
	"item:HasAttachments", "message:IsRead", "message:From", "message:InternetMessageId"}

// allFields is what AllProperties adds to the default ones.
var allFields = []string{"item:ParentFolderId", "item:ItemClass", "item:Categories", "item:Importance", "item:InReplyTo", "item:IsDraft", "item:DisplayTo",
	"item:DisplayCc", "item:LastModifiedTime", "message:Sender", "message:References", "message:ConversationTopic", "message:ConversationIndex"}

// planItems works a shape out. An error means that the property does not exist in the
// schema of the request or cannot be had by this operation.
func (c *call) planItems(s *ews.ItemShape, listing bool) (*plan, *ews.SOAPFault) {
	p := &plan{fields: map[string]bool{}, listing: listing, bodyType: s.BodyType, mime: s.IncludeMimeContent}
	if s.MaximumBodySize != nil {
		if c.schema < schema2013 {
			return nil, fault("ErrorSchemaValidation", "The request failed schema validation: The element 'MaximumBodySize' is invalid.")
		}
		p.maxBody = *s.MaximumBodySize
	}
	if s.Base != ews.IDOnly {
		p.add(defaultFields)
	}
	if s.Base == ews.AllProperties {
		p.add(allFields)
	}
	if s.Base != ews.IDOnly && !listing {
		p.add([]string{"item:Body", "item:Attachments", "message:ToRecipients", "message:CcRecipients", "message:BccRecipients"})
	}
	if s.Base == ews.AllProperties && !listing {
		p.add([]string{"message:ReplyTo", "item:InternetMessageHeaders"})
	}
	if s.Base == ews.AllProperties && c.schema >= schema2010 {
		p.add([]string{"item:ConversationId"})
	}
	for _, path := range s.Additional {
		if path.FieldURI == "" {
			p.extended = append(p.extended, path.Extended)
			continue
		}
		if f := c.refuse(path.FieldURI, listing); f != nil {
			return nil, f
		}
		p.fields[path.FieldURI] = true
	}
	if p.fields["item:MimeContent"] {
		p.mime = true
	}
	return p, nil
}

func (p *plan) add(fields []string) {
	for _, f := range fields {
		p.fields[f] = true
	}
}

// refuse judges one property of a shape; nil when it may be asked for.
func (c *call) refuse(uri string, listing bool) *ews.SOAPFault {
	if since := newer[uri]; since > c.x.server.newest {
		return fault("ErrorSchemaValidation", "The request failed schema validation: The 'FieldURI' attribute is invalid.")
	} else if since > c.schema {
		return fault("ErrorInvalidPropertyRequest", "Property is not supported by the version of this request: "+uri)
	}
	if family, _, ok := strings.Cut(uri, ":"); !ok || family == "folder" {
		return fault("ErrorInvalidPropertyRequest", "Property is not valid for this object type: "+uri)
	}
	if listing && slices.Contains(unlisted, uri) {
		return fault("ErrorInvalidPropertyRequest", "Property cannot be returned by this operation: "+uri)
	}
	return nil
}

// content tells whether the plan asks for more than the header of a letter.
func (p *plan) content() bool { return p.mime || p.text() }

// text tells whether the plan asks for the text or the list of attachments.
func (p *plan) text() bool {
	for _, f := range textFields {
		if p.fields[f] {
			return true
		}
	}
	return false
}

// onlyIDs tells whether nothing but ids is asked for.
func (p *plan) onlyIDs() bool {
	return len(p.fields) == 0 && len(p.extended) == 0 && !p.mime
}
