package ews

// GetStreamingEvents holds a connection open on which the server tells what happens. The
// answer is a series of whole envelopes, each with one GetStreamingEventsResult.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/getstreamingevents-operation
type GetStreamingEvents struct {
	SubscriptionIDs []string // up to 200
	Timeout         int64    // minutes until the server closes the connection, 1 to 30
}

func (*GetStreamingEvents) Operation() string { return "GetStreamingEvents" }

func (v *GetStreamingEvents) fields(x *codec) {
	list(x, "m:SubscriptionIds", &v.SubscriptionIDs, subscriptionID)
	x.number("m:ConnectionTimeout", &v.Timeout)
}

// subscriptionID is in the namespace of the schema, or in that of Microsoft's sample.
func subscriptionID(x *codec, id *string) {
	x.keep(x.either("t:SubscriptionId", "m:SubscriptionId"), id)
}

// ConnectionStatus of a stream.
type ConnectionStatus string

const (
	ConnectionOK     ConnectionStatus = "OK"     // says nothing beside an error code
	ConnectionClosed ConnectionStatus = "Closed" // in good order: the subscriptions live on
)

// A GetStreamingEventsResult is one envelope of the answer to GetStreamingEvents: events,
// a sign of life, or an error. With an error no subscription of the connection gets
// events any more, whatever Status says.
type GetStreamingEventsResult struct {
	Result
	Notifications []Notification
	ErrorIDs      []string // ErrorSubscriptionIds: the ones that the error is about
	Status        ConnectionStatus
	// OnWire says that notifications are in the messages namespace, as all servers write
	// them; the schema has them in the types namespace. Both are read.
	OnWire bool
}

func (v *GetStreamingEventsResult) fields(x *codec) {
	v.Result.fields(x)
	list(x, "m:Notifications", &v.Notifications, v.notification)
	list(x, "m:ErrorSubscriptionIds", &v.ErrorIDs, subscriptionID)
	x.text("m:ConnectionStatus", (*string)(&v.Status))
}

func (v *GetStreamingEventsResult) notification(x *codec, n *Notification) {
	const schema, wire = "t:Notification", "m:Notification"
	name := x.either(schema, wire)
	if !x.reading() && v.OnWire {
		name = wire
	}
	v.OnWire = name == wire
	x.elem(name, n)
}
