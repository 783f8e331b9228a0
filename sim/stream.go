package sim

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/ews"
)

// heartBeat is how long a stream is silent at most.
const heartBeat = 45 * time.Second

// A stream is a connection on which somebody listens to subscriptions. Its fields are
// guarded by the switchboard.
type stream struct {
	wake  chan struct{}   // holds one when there is something to do
	ready []*subscription // those that have something to tell
	lost  []string        // subscriptions that it lost, and by that itself
	code  string          // why
	all   []*subscription // what it was asked for, when that is all good
	open  bool            // it counts as a connection
}

func (st *stream) ring() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// end makes the stream tell of a lost subscription and close.
func (st *stream) end(code, id string) {
	st.lost, st.code = append(st.lost, id), code
	st.ring()
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/getstreamingevents-operation
func (c *call) getStreamingEvents(op *ews.GetStreamingEvents) {
	switch {
	case c.schema < schema2010SP1:
		c.fault(fault("ErrorSchemaValidation", "The request failed schema validation: The element 'GetStreamingEvents' is invalid."))
		return
	case op.Timeout < 1 || op.Timeout > 30:
		c.fault(fault("ErrorSchemaValidation", "The request failed schema validation: The 'ConnectionTimeout' element is invalid."))
		return
	case len(op.SubscriptionIDs) == 0 || len(op.SubscriptionIDs) > 200:
		c.fault(fault("ErrorInvalidRequest", "A request carries 1 to 200 subscriptions."))
		return
	}
	if c.met(StreamReset) {
		panic(http.ErrAbortHandler)
	}
	if wrong := c.wrongEntry(); wrong != nil {
		c.reply([]ews.Answer{c.failure(*wrong)})
		return
	}
	st, refused := c.listen(op.SubscriptionIDs)
	if refused != nil {
		c.fault(refused)
		return
	}
	defer c.hangUp(st)
	if !st.open {
		c.reply([]ews.Answer{c.lostSubscriptions(st.lost, st.code, ews.ConnectionClosed)})
		return
	}
	c.headers()
	c.w.WriteHeader(http.StatusOK)
	c.x.log.add(c.record) // now, not when it ends
	c.logged = true
	c.stream(st, time.Duration(op.Timeout)*time.Minute)
}

// lingers tells whether the connection stays open although a subscription is lost.
func (c *call) lingers() bool { return c.met(StreamLostSubscription) || c.met(StreamLostNameless) }

// charged is who the connection counts against.
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange
func (c *call) charged() string {
	if c.box != nil {
		return c.box.guid.String()
	}
	return "account " + strings.ToLower(c.account.Login)
}

func (x *Exchange) maxHanging() int {
	switch {
	case x.options.MaxHanging > 0:
		return x.options.MaxHanging
	case x.server.major == 15 && x.server.minor == 0:
		return 3
	}
	return 10
}

// listen takes the subscriptions over from whoever listened before. When one of them is
// no good, none is taken, and the stream says which.
func (c *call) listen(ids []string) (*stream, *ews.SOAPFault) {
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	b := &c.x.switchboard
	b.mu.Lock()
	defer b.mu.Unlock()
	st := &stream{wake: make(chan struct{}, 1)}
	if c.lingers() {
		if s := b.byID[ids[0]]; s != nil {
			b.drop(s, "ErrorSubscriptionNotFound")
		}
	}
	for _, id := range ids {
		s, code := c.find(id)
		if s != nil && !s.streaming {
			s, code = nil, "ErrorInvalidSubscription"
		}
		if s == nil {
			st.lost, st.code = append(st.lost, id), code
			continue
		}
		st.all = append(st.all, s)
	}
	if st.code != "" && !c.lingers() {
		return st, nil
	}
	if b.hanging[c.charged()] >= c.x.maxHanging() {
		return nil, fault("ErrorExceededConnectionCount", "You have exceeded the available concurrent connections for your account.")
	}
	b.hanging[c.charged()]++
	b.streams++
	st.open = true
	if st.code != "" {
		return st, nil // it starves them all
	}
	for _, s := range st.all {
		if s.stream != nil && s.stream != st { // the same id may be there twice
			s.stream.end("ErrorNewEventStreamConnectionOpened", s.id)
		}
		s.stream = st
		if s.queued = len(s.queue) > 0; s.queued {
			st.ready = append(st.ready, s)
			st.ring()
		}
	}
	return st, nil
}

// hangUp lets go of what the stream listened to.
func (c *call) hangUp(st *stream) {
	b := &c.x.switchboard
	b.mu.Lock()
	defer b.mu.Unlock()
	if !st.open {
		return
	}
	if b.hanging[c.charged()]--; b.hanging[c.charged()] == 0 {
		delete(b.hanging, c.charged())
	}
	b.streams--
	for _, s := range st.all {
		if s.stream == st {
			s.stream, s.queued, s.heard = nil, false, c.x.now()
		}
	}
}

// stream tells what happens until the time is up, the client has left or a subscription is
// lost. It sleeps in between.
func (c *call) stream(st *stream, life time.Duration) {
	out := &outflow{call: c}
	if c.lingers() {
		out.send(c.lostSubscriptions(st.lost, st.code, ews.ConnectionOK))
	} else {
		out.send(sign(ews.ConnectionOK))
	}
	end, beat := time.NewTimer(life), time.NewTimer(heartBeat)
	defer end.Stop()
	defer beat.Stop()
	for out.err == nil {
		beat.Reset(heartBeat)
		select {
		case <-c.r.Context().Done():
			return
		case <-end.C:
			out.send(sign(ews.ConnectionClosed))
			return
		case <-beat.C:
			out.send(sign(ews.ConnectionOK))
		case <-st.wake:
			if c.met(StreamLate) && !c.wait(c.trouble.delay()) {
				return
			}
			if !c.tell(st, out) {
				return
			}
		}
	}
}

func sign(s ews.ConnectionStatus) *ews.GetStreamingEventsResult {
	return &ews.GetStreamingEventsResult{Result: ews.Succeeded(), Status: s}
}

// lostSubscriptions says which subscriptions the stream cannot be held for.
func (c *call) lostSubscriptions(ids []string, code string, status ews.ConnectionStatus) *ews.GetStreamingEventsResult {
	c.record.Code = code
	text := subscriptionText[code]
	if text == "" {
		text = "The connection cannot be held any longer."
	}
	r := &ews.GetStreamingEventsResult{Result: ews.Failed(code, text), Status: status}
	if !c.met(StreamLostNameless) {
		r.ErrorIDs = ids
	}
	return r
}

// tell sends all that the stream's subscriptions have to tell; false when that was the
// last.
func (c *call) tell(st *stream, out *outflow) bool {
	for out.err == nil {
		list, lost, code := c.takeReady(st)
		if code != "" {
			out.send(c.lostSubscriptions(lost, code, ews.ConnectionClosed))
			return false
		}
		if len(list) == 0 {
			return true
		}
		out.send(&ews.GetStreamingEventsResult{Result: ews.Succeeded(), Notifications: list, Status: ews.ConnectionOK})
	}
	return false
}

// takeReady takes the next events off the queues: of each subscription as many as one
// notification carries.
func (c *call) takeReady(st *stream) (list []ews.Notification, lost []string, code string) {
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	b := &c.x.switchboard
	b.mu.Lock()
	defer b.mu.Unlock()
	ready := st.ready
	st.ready = nil
	for _, s := range ready {
		if s.stream != st {
			continue // it was taken away
		}
		if s.missed || c.met(MissedEvents) {
			b.drop(s, "ErrorMissedNotificationEvents")
			continue
		}
		n := min(len(s.queue), maxEvents)
		note := ews.Notification{SubscriptionID: s.id}
		for i := range s.queue[:n] {
			note.Events = append(note.Events, s.queue[i].event())
		}
		s.queue = s.queue[n:]
		s.told += uint64(n)
		if s.queued = len(s.queue) > 0; s.queued {
			st.ready = append(st.ready, s)
		} else {
			s.queue = nil
		}
		list = append(list, note)
	}
	return list, slices.Clone(st.lost), st.code
}

// An outflow writes the envelopes of a stream, with what goes wrong with them.
type outflow struct {
	call      *call
	envelopes int
	bytes     int
	err       error
}

func (o *outflow) send(r *ews.GetStreamingEventsResult) {
	c := o.call
	if c.met(StreamLostEvents) && len(r.Notifications) > 0 || c.met(StreamSilent) && o.envelopes >= c.trouble.At {
		return
	}
	o.envelopes++
	r.OnWire = !c.met(StreamNamespace)
	if c.met(StreamReordered) {
		slices.Reverse(r.Notifications)
		for _, n := range r.Notifications {
			slices.Reverse(n.Events)
		}
	}
	var envelope bytes.Buffer
	_ = ews.WriteResponse(&envelope, c.x.serverVersion(), c.record.Operation, r) // a buffer does not fail
	text := asStreamed(envelope.Bytes())
	if c.met(StreamDuplicate) && len(r.Notifications) > 0 {
		text = append(text, text...)
	}
	if c.met(StreamTorn) {
		o.tear(text, len(r.Notifications) > 0)
	}
	o.write(text)
}

// tear cuts the stream at a byte, or in the middle of the first envelope that tells
// something.
func (o *outflow) tear(text []byte, telling bool) {
	at := o.call.trouble.At - o.bytes
	if o.call.trouble.At == 0 {
		at = len(text)
		if telling {
			at /= 2
		}
	}
	if at < len(text) {
		o.write(text[:at])
		panic(http.ErrAbortHandler)
	}
}

func (o *outflow) write(text []byte) {
	n, err := o.call.w.Write(text)
	o.bytes += n
	if err == nil {
		err = http.NewResponseController(o.call.w).Flush()
	}
	o.err = err
}

// asStreamed writes an envelope as it goes out on streams: without a declaration, and with
// the envelope in the default namespace. There are clients that look for just that.
func asStreamed(envelope []byte) []byte {
	const soap = `="http://schemas.xmlsoap.org/soap/envelope/"`
	_, text, _ := strings.Cut(string(envelope), "\n")
	return []byte(strings.NewReplacer(
		"<s:Envelope xmlns:s=", "<Envelope xmlns=", "</s:Envelope>", "</Envelope>",
		"<s:Header>", "<soap11:Header xmlns:soap11"+soap+">", "</s:Header>", "</soap11:Header>",
		"<s:Body>", "<soap11:Body xmlns:soap11"+soap+">", "</s:Body>", "</soap11:Body>",
	).Replace(text))
}
