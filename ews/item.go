package ews

import "time"

// Item element names.
const (
	MessageItem         = "Message"
	PlainItem           = "Item"
	CalendarItem        = "CalendarItem"
	ContactItem         = "Contact"
	DistributionList    = "DistributionList"
	MeetingMessage      = "MeetingMessage"
	MeetingRequest      = "MeetingRequest"
	MeetingResponse     = "MeetingResponse"
	MeetingCancellation = "MeetingCancellation"
	SharingMessage      = "SharingMessage"
	TaskItem            = "Task"
	PostItem            = "PostItem"
)

// itemElement returns the name as a constant, "" when it is none of an item.
func itemElement(name []byte) string {
	switch string(name) {
	case MessageItem:
		return MessageItem
	case PlainItem:
		return PlainItem
	case CalendarItem:
		return CalendarItem
	case ContactItem:
		return ContactItem
	case DistributionList:
		return DistributionList
	case MeetingMessage:
		return MeetingMessage
	case MeetingRequest:
		return MeetingRequest
	case MeetingResponse:
		return MeetingResponse
	case MeetingCancellation:
		return MeetingCancellation
	case SharingMessage:
		return SharingMessage
	case TaskItem:
		return TaskItem
	case PostItem:
		return PostItem
	case "RoleMember", "Network", "Person":
		return string(name)
	}
	return ""
}

// An Item is an item of a mailbox, of any kind: Element is the name of its XML element
// and says which of the kind's own properties may be there. An item class that Exchange
// does not know comes as Message or Item. What is absent was not asked for, has no value
// or cannot be read.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/message-ex15websvcsotherref
type Item struct {
	Element string

	Mime             *Content // made anew by the server for each request: no two are equal
	ID               ItemID
	Parent           *FolderID
	Class            string // IPM.Note, IPM.Note.SMIME, REPORT.IPM.Note.NDR, …
	Subject          string
	Sensitivity      string
	Body             *Body
	Attachments      []Attachment
	Received         time.Time
	Size             int64
	Categories       []string
	Importance       string
	InReplyTo        string
	IsSubmitted      *bool
	IsDraft          *bool
	IsFromMe         *bool
	IsResend         *bool
	IsUnmodified     *bool
	InternetHeaders  []InternetHeader
	Sent             time.Time
	Created          time.Time
	ReminderDueBy    time.Time
	ReminderIsSet    *bool
	ReminderMinutes  string
	DisplayCc        string
	DisplayTo        string
	HasAttachments   *bool
	Extended         []ExtendedProperty
	Culture          string
	LastModifiedName string
	LastModified     time.Time
	IsAssociated     *bool
	ConversationID   *ItemID
	UniqueBody       *Body
	NormalizedBody   *Body
	Preview          string
	TextBody         *Body

	// Of messages, meeting messages and posts:
	Sender            *Mailbox
	To, Cc, Bcc       []Mailbox
	ReceiptRequested  *bool // IsReadReceiptRequested
	DeliveryRequested *bool // IsDeliveryReceiptRequested
	ConversationIndex []byte
	ConversationTopic string
	From              *Mailbox
	InternetMessageID string
	IsRead            *bool
	ResponseRequested *bool
	References        string
	ReplyTo           []Mailbox
	ReceivedBy        *Mailbox
	ReceivedFor       *Mailbox // ReceivedRepresenting
	Posted            time.Time

	Meeting *Meeting // of meeting messages
	Event   *Event   // of calendar items and meeting requests
	Contact *Contact // of contacts and distribution lists
	Task    *Task    // of tasks
}

// item is an item under its own element name, whatever that is.
func item(x *codec, v *Item) { x.named(&v.Element, v, itemElement) }

func items(x *codec, name string, v *[]Item) { list(x, name, v, item) }

// An InternetHeader is one header line of a message that came by SMTP.
type InternetHeader struct{ Name, Value string }

func (v *InternetHeader) fields(x *codec) {
	x.attr("HeaderName", &v.Name)
	x.value(&v.Value)
}

func (v *Item) fields(x *codec) {
	opt(x, "t:MimeContent", &v.Mime)
	if x.reading() || v.ID.ID != "" {
		x.elem("t:ItemId", &v.ID)
	}
	opt(x, "t:ParentFolderId", &v.Parent)
	x.text("t:ItemClass", &v.Class)
	x.text("t:Subject", &v.Subject)
	x.text("t:Sensitivity", &v.Sensitivity)
	opt(x, "t:Body", &v.Body)
	attachments(x, "t:Attachments", &v.Attachments)
	x.time("t:DateTimeReceived", &v.Received)
	x.number("t:Size", &v.Size)
	list(x, "t:Categories", &v.Categories, texts("t:String"))
	x.text("t:Importance", &v.Importance)
	x.text("t:InReplyTo", &v.InReplyTo)
	x.bool("t:IsSubmitted", &v.IsSubmitted)
	x.bool("t:IsDraft", &v.IsDraft)
	x.bool("t:IsFromMe", &v.IsFromMe)
	x.bool("t:IsResend", &v.IsResend)
	x.bool("t:IsUnmodified", &v.IsUnmodified)
	list(x, "t:InternetMessageHeaders", &v.InternetHeaders, elements[InternetHeader]("t:InternetMessageHeader"))
	x.time("t:DateTimeSent", &v.Sent)
	x.time("t:DateTimeCreated", &v.Created)
	x.time("t:ReminderDueBy", &v.ReminderDueBy)
	x.bool("t:ReminderIsSet", &v.ReminderIsSet)
	x.text("t:ReminderMinutesBeforeStart", &v.ReminderMinutes)
	x.text("t:DisplayCc", &v.DisplayCc)
	x.text("t:DisplayTo", &v.DisplayTo)
	x.bool("t:HasAttachments", &v.HasAttachments)
	each(x, &v.Extended, elements[ExtendedProperty]("t:ExtendedProperty"))
	x.text("t:Culture", &v.Culture)
	x.text("t:LastModifiedName", &v.LastModifiedName)
	x.time("t:LastModifiedTime", &v.LastModified)
	x.bool("t:IsAssociated", &v.IsAssociated)
	opt(x, "t:ConversationId", &v.ConversationID)
	opt(x, "t:UniqueBody", &v.UniqueBody)
	opt(x, "t:NormalizedBody", &v.NormalizedBody)
	x.text("t:Preview", &v.Preview)
	opt(x, "t:TextBody", &v.TextBody)
	v.kindFields(x)
}

// kindFields are the properties that the kind of item adds.
func (v *Item) kindFields(x *codec) {
	switch v.Element {
	case CalendarItem:
		part(x, &v.Event)
	case ContactItem, DistributionList:
		part(x, &v.Contact)
	case TaskItem:
		part(x, &v.Task)
	case PostItem:
		v.postFields(x)
	case MeetingMessage, MeetingResponse, MeetingCancellation:
		v.messageFields(x)
		part(x, &v.Meeting)
	case MeetingRequest:
		v.messageFields(x)
		part(x, &v.Meeting)
		part(x, &v.Event)
	default:
		v.messageFields(x)
	}
}

// part are fields that stand among the item's own but are kept apart.
func part[T any, P pointer[T]](x *codec, v **T) {
	if *v == nil {
		if !x.reading() {
			return
		}
		*v = new(T)
	}
	P(*v).fields(x)
}

func (v *Item) messageFields(x *codec) {
	x.recipient("t:Sender", &v.Sender)
	x.recipients("t:ToRecipients", &v.To)
	x.recipients("t:CcRecipients", &v.Cc)
	x.recipients("t:BccRecipients", &v.Bcc)
	x.bool("t:IsReadReceiptRequested", &v.ReceiptRequested)
	x.bool("t:IsDeliveryReceiptRequested", &v.DeliveryRequested)
	x.binary("t:ConversationIndex", &v.ConversationIndex)
	x.text("t:ConversationTopic", &v.ConversationTopic)
	x.recipient("t:From", &v.From)
	x.text("t:InternetMessageId", &v.InternetMessageID)
	x.bool("t:IsRead", &v.IsRead)
	x.bool("t:IsResponseRequested", &v.ResponseRequested)
	x.text("t:References", &v.References)
	x.recipients("t:ReplyTo", &v.ReplyTo)
	x.recipient("t:ReceivedBy", &v.ReceivedBy)
	x.recipient("t:ReceivedRepresenting", &v.ReceivedFor)
}

// postFields are in another order than a message's.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/postitem
func (v *Item) postFields(x *codec) {
	x.binary("t:ConversationIndex", &v.ConversationIndex)
	x.text("t:ConversationTopic", &v.ConversationTopic)
	x.recipient("t:From", &v.From)
	x.text("t:InternetMessageId", &v.InternetMessageID)
	x.bool("t:IsRead", &v.IsRead)
	x.time("t:PostedTime", &v.Posted)
	x.text("t:References", &v.References)
	x.recipient("t:Sender", &v.Sender)
}

// Attachment element names.
const (
	FileAttachment      = "FileAttachment"
	ItemAttachment      = "ItemAttachment"
	ReferenceAttachment = "ReferenceAttachment" // a link to a file elsewhere; it has no bytes
)

// An Attachment of an item. Its id dies with the item's change key. The name is whatever
// the sender wrote and never a path.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/fileattachment
type Attachment struct {
	Element      string
	ID           string
	Root         ItemID // in answers to CreateAttachment
	Name         string
	Type         string // ContentType
	ContentID    string
	Location     string // ContentLocation
	Size         int64  // approximate
	LastModified time.Time
	IsInline     *bool

	IsContactPhoto *bool
	Content        *Content // of a file, in answers to GetAttachment
	Item           []Item   // of an item attachment: one, or none when not asked for
	Link           string   // of a reference: AttachLongPathName
}

func attachments(x *codec, name string, v *[]Attachment) {
	list(x, name, v, func(x *codec, a *Attachment) {
		if !x.reading() {
			x.elem("t:"+a.Element, a)
			return
		}
		x.advance()
		if !x.at.have {
			return
		}
		switch name := string(x.d.local); name {
		case FileAttachment, ItemAttachment, ReferenceAttachment:
			a.Element = name
			x.take()
			x.read(a)
		}
	})
}

func (v *Attachment) fields(x *codec) {
	x.wrapped("t:AttachmentId", v.ID != "", func(x *codec) {
		x.attr("Id", &v.ID)
		x.attr("RootItemId", &v.Root.ID)
		x.attr("RootItemChangeKey", &v.Root.ChangeKey)
	})
	x.text("t:Name", &v.Name)
	x.text("t:ContentType", &v.Type)
	x.text("t:ContentId", &v.ContentID)
	x.text("t:ContentLocation", &v.Location)
	x.number("t:Size", &v.Size)
	x.time("t:LastModifiedTime", &v.LastModified)
	x.bool("t:IsInline", &v.IsInline)
	switch v.Element {
	case FileAttachment:
		x.bool("t:IsContactPhoto", &v.IsContactPhoto)
		opt(x, "t:Content", &v.Content)
	case ItemAttachment:
		each(x, &v.Item, item)
	case ReferenceAttachment:
		x.text("t:AttachLongPathName", &v.Link)
	}
}
