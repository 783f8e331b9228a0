package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"postern/crm"
	"postern/store"
)

// A pulse is the line at the top of each page that says whether collecting goes well.
type pulse struct {
	Dot       string // class of the dot
	Words     string
	Mailboxes int
	LastFiled time.Time
}

func pulseOf(stats *store.HomeStats) pulse {
	p := pulse{LastFiled: stats.LastFiled}
	for state, n := range stats.Mailboxes {
		if state != crm.Off {
			p.Mailboxes += n
		}
	}
	count := func(state crm.MailboxState) int { return stats.Mailboxes[state] }
	switch {
	case count(crm.Attention) > 0:
		p.Dot, p.Words = "attention", plural(count(crm.Attention), "mailbox needs", "mailboxes need")+" attention"
	case count(crm.Waiting) > 0:
		p.Dot, p.Words = "waiting", plural(count(crm.Waiting), "mailbox waits", "mailboxes wait")
	case count(crm.Importing) > 0:
		p.Dot, p.Words = "live", plural(count(crm.Importing), "mailbox", "mailboxes")+" in first import"
	case p.Mailboxes > 0:
		p.Dot, p.Words = "live", plural(p.Mailboxes, "mailbox", "mailboxes")+" live"
	default:
		p.Dot, p.Words = "off", "collecting is off"
	}
	return p
}

// pulseAge is how old the figures at the top of a page may be. They are counted over all
// items, which is too much for each page that somebody leaves open.
const pulseAge = 3 * time.Second

// stats returns the figures of the organization, at most maxAge old.
func (s *server) stats(ctx context.Context, maxAge time.Duration) (*store.HomeStats, error) {
	s.counted.Lock()
	defer s.counted.Unlock()
	if now := s.Now(); s.counted.stats == nil || now.Sub(s.counted.at) >= maxAge {
		stats, err := s.Org.Home(ctx, now)
		if err != nil {
			return nil, err
		}
		s.counted.stats, s.counted.at = stats, now
	}
	return s.counted.stats, nil
}

// counted keeps the figures that were counted last. They are not changed afterwards.
type counted struct {
	sync.Mutex
	stats *store.HomeStats
	at    time.Time
}

// frame fills what the layout shows on every page.
func (s *server) frame(r *http.Request, p *page) error {
	stats, err := s.stats(r.Context(), pulseAge)
	if err != nil {
		return err
	}
	p.Pulse = pulseOf(stats)
	_, p.Unread, _, err = s.Org.Activities(r.Context(), store.MailQuery{Viewer: p.Viewer.ID, Mine: true, Unread: true, Limit: 1})
	return err
}
