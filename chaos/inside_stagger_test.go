package chaos

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"postern/crm"
)

// A stagger lets each call wait for a moment that is its own. What begins in one instant
// of the virtual clock would else reach the server in an order that depends on the
// machine, and one seed would not be one run.
type stagger uint64 // the seed

// wait lasts as the key and the moment have it: a call that was given up before leaves no
// trace in those that follow.
func (s stagger) wait(ctx context.Context, key string) {
	h := fnv.New64a()
	io.WriteString(h, key)
	draw := rand.New(rand.NewPCG(uint64(s)^h.Sum64(), uint64(time.Now().UnixNano())))
	select {
	case <-time.After(time.Duration(1 + draw.IntN(int(time.Millisecond)))):
	case <-ctx.Done():
	}
}

// connector puts the stagger between the engine and a connector's source, and between the
// source and its traffic.
func (s stagger) connector(c crm.Connector) crm.Connector {
	open := c.Source
	c.Source = func(settings crm.Settings, t crm.Transport) (crm.Source, error) {
		src, err := open(settings, staggeredTransport{t, s})
		if err != nil {
			return nil, err
		}
		return &staggered{src.(crm.Notifier), s}, nil
	}
	return c
}

type staggeredTransport struct {
	crm.Transport
	stagger
}

func (t staggeredTransport) Admit(ctx context.Context, r crm.Request) (func(*crm.Fault), error) {
	t.wait(ctx, "asks "+r.Operation+string(r.Mailbox))
	done, err := t.Transport.Admit(ctx, r)
	t.wait(ctx, "admitted "+r.Operation+string(r.Mailbox))
	return done, err
}

type staggered struct {
	crm.Notifier
	stagger
}

func (s *staggered) wait(ctx context.Context, what string, box *crm.Mailbox) {
	s.stagger.wait(ctx, what+" "+string(box.Address))
}

func (s *staggered) Close() error { return s.Notifier.(io.Closer).Close() }

func (s *staggered) Folders(ctx context.Context, box *crm.Mailbox) ([]crm.Folder, error) {
	s.wait(ctx, "Folders", box)
	return s.Notifier.Folders(ctx, box)
}

func (s *staggered) Changes(ctx context.Context, box *crm.Mailbox, f crm.Folder, since crm.Cursor) (*crm.Page, error) {
	s.wait(ctx, "Changes", box)
	return s.Notifier.Changes(ctx, box, f, since)
}

func (s *staggered) Headers(ctx context.Context, box *crm.Mailbox, ids []string) ([]crm.Header, error) {
	s.wait(ctx, "Headers", box)
	return s.Notifier.Headers(ctx, box, ids)
}

func (s *staggered) Load(ctx context.Context, box *crm.Mailbox, headers []crm.Header, take func(*crm.Item) error) error {
	s.wait(ctx, "Load", box)
	return s.Notifier.Load(ctx, box, headers, take)
}

func (s *staggered) Attachments(ctx context.Context, box *crm.Mailbox, list []crm.Enclosure, take func(int, io.Reader, *crm.Fault) error) error {
	s.wait(ctx, "Attachments", box)
	return s.Notifier.Attachments(ctx, box, list, take)
}

func (s *staggered) Items(ctx context.Context, box *crm.Mailbox, f crm.Folder, take func([]string) error) error {
	s.wait(ctx, "Items", box)
	return s.Notifier.Items(ctx, box, f, take)
}

func (s *staggered) Subscribe(ctx context.Context, box, anchor *crm.Mailbox) (crm.Subscription, error) {
	s.wait(ctx, "Subscribe", box)
	return s.Notifier.Subscribe(ctx, box, anchor)
}

func (s *staggered) Listen(ctx context.Context, list []crm.Subscription, tell func(crm.Notice)) error {
	s.wait(ctx, "Listen", list[0].Box)
	defer s.wait(ctx, "Heard", list[0].Box)
	opened := false
	return s.Notifier.Listen(ctx, list, func(n crm.Notice) {
		s.stagger.wait(ctx, fmt.Sprint("Notice ", n.Box))
		if !opened && n.Box != 0 {
			tell(crm.Notice{}) // that it is open and what it tells are two things
			s.stagger.wait(ctx, fmt.Sprint("First ", n.Box))
		}
		opened = true
		tell(n)
	})
}

func (s *staggered) Pull(ctx context.Context, sub *crm.Subscription) (crm.Notice, error) {
	s.wait(ctx, "Pull", sub.Box)
	return s.Notifier.Pull(ctx, sub)
}

func (s *staggered) Unsubscribe(ctx context.Context, sub crm.Subscription) error {
	s.wait(ctx, "Unsubscribe", sub.Box)
	return s.Notifier.Unsubscribe(ctx, sub)
}
