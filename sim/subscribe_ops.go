package sim

import (
	"strings"
	"time"

	"postern/ews"
)

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/subscribe-operation
func (c *call) subscribe(op *ews.Subscribe) ([]ews.Answer, *ews.SOAPFault) {
	invalid := func(what string) ([]ews.Answer, *ews.SOAPFault) {
		return nil, fault("ErrorSchemaValidation", "The request failed schema validation: "+what+" is invalid.")
	}
	switch {
	case op.Streaming && c.schema < schema2010SP1:
		return invalid("The element 'StreamingSubscriptionRequest'")
	case op.AllFolders && c.schema < schema2010:
		return invalid("The 'SubscribeToAllFolders' attribute")
	case !op.Streaming && (op.Timeout < 1 || op.Timeout > 1440):
		return invalid("The 'Timeout' element")
	case len(op.Events) == 0:
		return invalid("The content of element 'EventTypes'")
	}
	kinds := map[ews.EventKind]bool{}
	for _, kind := range op.Events {
		switch kind {
		case ews.NewMailEvent, ews.CreatedEvent, ews.ModifiedEvent, ews.MovedEvent, ews.CopiedEvent, ews.DeletedEvent, ews.FreeBusyChangedEvent:
			kinds[kind] = true
		default:
			return invalid("The 'EventType' element")
		}
	}
	return []ews.Answer{c.subscribeOne(op, kinds)}, nil
}

func (c *call) subscribeOne(op *ews.Subscribe, kinds map[ews.EventKind]bool) ews.Answer {
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	switch {
	case op.AllFolders == (len(op.Folders) > 0):
		return c.failed("ErrorInvalidSubscriptionRequest", "Subscribe to all folders or to some.")
	case c.backEnd != c.box.server:
		return c.failed("ErrorProxyRequestNotAllowed", "The mailbox is not on this server, and the request cannot be passed on.")
	case op.AllFolders && c.box != c.self:
		return c.failed("ErrorSubscriptionDelegateAccessNotSupported", "Only the owner of a mailbox may subscribe to all of it.")
	case op.Watermark != "":
		return c.failed("ErrorInvalidWatermark", "The watermark is invalid.")
	}
	s := &subscription{
		box:       c.box,
		login:     strings.ToLower(c.account.Login),
		backEnd:   c.backEnd,
		streaming: op.Streaming,
		kinds:     kinds,
		life:      streamLife,
		heard:     c.x.now(),
	}
	if !op.Streaming {
		s.life = time.Duration(op.Timeout) * time.Minute
	}
	for i := range op.Folders {
		f, no := c.folder(&op.Folders[i])
		if no == nil {
			no = c.reads(f)
		}
		switch {
		case no != nil:
			return c.failure(*no)
		case f.box != c.box || f.box != c.self && c.schema < schema2010:
			return c.failed("ErrorSubscriptionDelegateAccessNotSupported", "Only the owner of a mailbox may subscribe to it.")
		case s.folders == nil:
			s.folders = map[uint64]bool{}
		}
		s.folders[f.n] = true
	}
	if !c.x.switchboard.add(s, c.x.maxSubscriptions()) {
		return c.failed("ErrorExceededSubscriptionCount", "You have exceeded the available subscriptions for your account.")
	}
	result := &ews.SubscribeResult{Result: ews.Succeeded(), SubscriptionID: s.id}
	if !op.Streaming {
		result.Watermark = s.watermark(0)
	}
	return result
}

// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange
func (x *Exchange) maxSubscriptions() int {
	if n := x.options.MaxSubscriptions; n > 0 {
		return n
	}
	return 5000
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/unsubscribe-operation
func (c *call) unsubscribe(op *ews.Unsubscribe) []ews.Answer {
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	b := &c.x.switchboard
	b.mu.Lock()
	defer b.mu.Unlock()
	s, code := c.find(op.SubscriptionID)
	if s == nil {
		return []ews.Answer{c.failed(code, subscriptionText[code])}
	}
	b.drop(s, "ErrorSubscriptionUnsubscribed")
	return []ews.Answer{new(ews.Succeeded())}
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/getevents-operation
func (c *call) getEvents(op *ews.GetEvents) []ews.Answer {
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	b := &c.x.switchboard
	b.mu.Lock()
	defer b.mu.Unlock()
	s, code := c.find(op.SubscriptionID)
	if s != nil && s.box != c.box {
		s, code = nil, "ErrorSubscriptionAccessDenied"
	}
	if s != nil && s.streaming {
		s, code = nil, "ErrorInvalidSubscription"
	}
	if s == nil {
		return []ews.Answer{c.failed(code, subscriptionText[code])}
	}
	if s.missed || c.met(MissedEvents) {
		b.drop(s, "")
		return []ews.Answer{c.failed("ErrorMissedNotificationEvents", "Events were missed.")}
	}
	told, ok := s.toldUpTo(op.Watermark)
	if !ok {
		return []ews.Answer{c.failed("ErrorInvalidWatermark", "The watermark is invalid.")}
	}
	s.heard = c.x.now()
	s.queue = s.queue[told-s.told:]
	s.told = told
	n := &ews.Notification{SubscriptionID: s.id, PreviousWatermark: op.Watermark, MoreEvents: new(len(s.queue) > maxEvents)}
	for i := range s.queue[:min(len(s.queue), maxEvents)] {
		e := s.queue[i].event()
		e.Watermark = s.watermark(told + uint64(i) + 1)
		n.Events = append(n.Events, e)
	}
	if len(n.Events) == 0 {
		n.Events = []ews.MailboxEvent{{Kind: ews.StatusEvent, Watermark: op.Watermark}}
	}
	if c.met(EventsNoWatermark) {
		n.PreviousWatermark = ""
		for i := range n.Events {
			n.Events[i].Watermark = ""
		}
	}
	return []ews.Answer{&ews.GetEventsResult{Result: ews.Succeeded(), Notification: n}}
}
