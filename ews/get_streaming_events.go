package ews

import (
	"context"
	"errors"
	"net/http"
)

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

// streamWindow is the window of a stream's decoder. Thousands of streams may be open, and
// what comes on them is small.
const streamWindow = 16 << 10

// GetStreamingEvents hands each envelope to take when it has come whole. It returns nil
// when the server has closed the connection in good order, an error of take as it is, and
// else an *Error: after an envelope that says one, which take has seen, too; when the
// stream breaks off; or when it brings nothing for two minutes, not even a sign of life.
//
// The session is that of the group's anchor, to whom the connection is charged. It takes
// none of the client's other connections.
func (s *Session) GetStreamingEvents(ctx context.Context, g *Group, op *GetStreamingEvents, take func(*GetStreamingEventsResult) error) error {
	ex := exchange{op: op, group: g, since: Exchange2010SP1, hanging: true}
	return s.carryOut(ctx, ex, func(t *transaction, resp *http.Response) error {
		body := resp.Body.(*limited)
		bound := body.left // of each envelope; the stream has none
		st := stream{codec: codec{d: &decoder{r: body, buf: make([]byte, streamWindow)}}}
		for {
			body.left = bound
			h, results, err := st.next()
			switch {
			case errors.Is(err, errFault):
				s.learn(&h, true)
				return s.c.refusal(t, st.fault)
			case err != nil:
				return s.c.unreadable(t, err)
			}
			s.learn(&h, false)
			for _, r := range results {
				t.failedPart(&r.Result)
				if t.call.Code == "" && r.Class == Failure {
					t.call.Code = r.Code
				}
				if err := take(r); err != nil {
					t.foreign = true
					return err
				}
				if err := r.Err(); err != nil {
					e, _ := errors.AsType[*Error](err)
					e.Operation, e.Mailbox = op.Operation(), s.mailbox
					return e
				}
				if r.Status == ConnectionClosed {
					return nil
				}
			}
		}
	})
}

// A stream reads envelope after envelope.
type stream struct {
	codec
	fault *SOAPFault // of the last envelope, with errFault
}

// next reads one envelope to its end. An answer that ends before it said Closed is torn,
// even where an envelope ends: the connection ended while it was in use.
func (st *stream) next() (h Header, results []*GetStreamingEventsResult, err error) {
	st.d.again()
	if err := st.openEnvelope(&h); err != nil {
		return h, nil, err
	}
	if string(st.d.local) == "Fault" {
		st.fault = st.readFault()
		if err := st.d.leave(); err != nil {
			return h, nil, err
		}
		return h, nil, errFault
	}
	eachMessage(&st.codec, func() {
		r := new(GetStreamingEventsResult)
		st.read(r)
		if st.d.charge(256) {
			results = append(results, r)
		}
	})
	if err := st.d.leave(); err != nil {
		return h, nil, err
	}
	return h, results, nil
}
