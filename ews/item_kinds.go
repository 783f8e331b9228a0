package ews

import "time"

// A Meeting is what meeting messages have besides a message's properties.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/meetingmessage
type Meeting struct {
	CalendarItem     *ItemID // AssociatedCalendarItemId
	IsDelegated      *bool
	IsOutOfDate      *bool
	HasBeenProcessed *bool
	Response         string // ResponseType
	UID              string
}

func (v *Meeting) fields(x *codec) {
	opt(x, "t:AssociatedCalendarItemId", &v.CalendarItem)
	x.bool("t:IsDelegated", &v.IsDelegated)
	x.bool("t:IsOutOfDate", &v.IsOutOfDate)
	x.bool("t:HasBeenProcessed", &v.HasBeenProcessed)
	x.text("t:ResponseType", &v.Response)
	x.text("t:UID", &v.UID)
}

// An Event is what calendar items have besides an item's properties.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/calendaritem
type Event struct {
	UID            string
	Start, End     time.Time
	OriginalStart  time.Time
	IsAllDay       *bool
	FreeBusy       string // LegacyFreeBusyStatus
	Location       string
	When           string
	IsMeeting      *bool
	IsCancelled    *bool
	IsRecurring    *bool
	RequestWasSent *bool
	Type           string // CalendarItemType: Single, Occurrence, Exception, RecurringMaster
	MyResponse     string
	Organizer      *Mailbox
	Required       []Attendee
	Optional       []Attendee
	Resources      []Attendee
	Duration       string
	TimeZone       string
	ReplyTime      time.Time
	Sequence       *int
	State          *int
}

func (v *Event) fields(x *codec) {
	x.text("t:UID", &v.UID)
	x.time("t:Start", &v.Start)
	x.time("t:End", &v.End)
	x.time("t:OriginalStart", &v.OriginalStart)
	x.bool("t:IsAllDayEvent", &v.IsAllDay)
	x.text("t:LegacyFreeBusyStatus", &v.FreeBusy)
	x.text("t:Location", &v.Location)
	x.text("t:When", &v.When)
	x.bool("t:IsMeeting", &v.IsMeeting)
	x.bool("t:IsCancelled", &v.IsCancelled)
	x.bool("t:IsRecurring", &v.IsRecurring)
	x.bool("t:MeetingRequestWasSent", &v.RequestWasSent)
	x.text("t:CalendarItemType", &v.Type)
	x.text("t:MyResponseType", &v.MyResponse)
	x.recipient("t:Organizer", &v.Organizer)
	attendees(x, "t:RequiredAttendees", &v.Required)
	attendees(x, "t:OptionalAttendees", &v.Optional)
	attendees(x, "t:Resources", &v.Resources)
	x.text("t:Duration", &v.Duration)
	x.text("t:TimeZone", &v.TimeZone)
	x.time("t:AppointmentReplyTime", &v.ReplyTime)
	x.int("t:AppointmentSequenceNumber", &v.Sequence)
	x.int("t:AppointmentState", &v.State)
}

// An Attendee of a meeting.
type Attendee struct {
	Mailbox          Mailbox
	Response         string
	LastResponseTime time.Time
}

func (v *Attendee) fields(x *codec) {
	x.elem("t:Mailbox", &v.Mailbox)
	x.text("t:ResponseType", &v.Response)
	x.time("t:LastResponseTime", &v.LastResponseTime)
}

func attendees(x *codec, name string, v *[]Attendee) {
	list(x, name, v, elements[Attendee]("t:Attendee"))
}

// An Entry is one value of a contact's dictionary: EmailAddress1, BusinessPhone, …
type Entry struct{ Key, Name, RoutingType, BoxType, Value string }

func (v *Entry) fields(x *codec) {
	x.attr("Key", &v.Key)
	x.attr("Name", &v.Name)
	x.attr("RoutingType", &v.RoutingType)
	x.attr("MailboxType", &v.BoxType)
	x.value(&v.Value)
}

func entries(x *codec, name string, v *[]Entry) {
	list(x, name, v, elements[Entry]("t:Entry"))
}

// A Contact is what contacts have besides an item's properties, as far as identity goes.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/contact
type Contact struct {
	FileAs, FileAsMapping string
	DisplayName           string
	GivenName, Initials   string
	MiddleName, Nickname  string
	CompanyName           string
	Emails                []Entry
	Phones                []Entry
	ContactSource         string
	Department            string
	JobTitle              string
	Surname               string
}

func (v *Contact) fields(x *codec) {
	x.text("t:FileAs", &v.FileAs)
	x.text("t:FileAsMapping", &v.FileAsMapping)
	x.text("t:DisplayName", &v.DisplayName)
	x.text("t:GivenName", &v.GivenName)
	x.text("t:Initials", &v.Initials)
	x.text("t:MiddleName", &v.MiddleName)
	x.text("t:Nickname", &v.Nickname)
	x.text("t:CompanyName", &v.CompanyName)
	entries(x, "t:EmailAddresses", &v.Emails)
	entries(x, "t:PhoneNumbers", &v.Phones)
	x.text("t:ContactSource", &v.ContactSource)
	x.text("t:Department", &v.Department)
	x.text("t:JobTitle", &v.JobTitle)
	x.text("t:Surname", &v.Surname)
}

// A Task is what tasks have besides an item's properties.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/task
type Task struct {
	Complete        time.Time // CompleteDate
	Due             time.Time
	IsComplete      *bool
	IsRecurring     *bool
	Owner           string
	PercentComplete string
	Start           time.Time
	Status          string
	StatusText      string // StatusDescription
}

func (v *Task) fields(x *codec) {
	x.time("t:CompleteDate", &v.Complete)
	x.time("t:DueDate", &v.Due)
	x.bool("t:IsComplete", &v.IsComplete)
	x.bool("t:IsRecurring", &v.IsRecurring)
	x.text("t:Owner", &v.Owner)
	x.text("t:PercentComplete", &v.PercentComplete)
	x.time("t:StartDate", &v.Start)
	x.text("t:Status", &v.Status)
	x.text("t:StatusDescription", &v.StatusText)
}
