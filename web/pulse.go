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

func pulseOf(stats *figures) pulse {
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
	case count(crm.Live) > 0:
		p.Dot, p.Words = "live", plural(count(crm.Live), "mailbox", "mailboxes")+" live"
	case count(crm.Provisioned) > 0:
		p.Dot, p.Words = "waiting", plural(count(crm.Provisioned), "mailbox", "mailboxes")+" not read yet"
		return p
	case stats.Enabled:
		p.Dot, p.Words = "waiting", "no mailbox to read"
	default:
		p.Dot, p.Words = "off", "collecting is off"
	}
	if n := count(crm.Provisioned); n > 0 {
		p.Words += ", " + number(n) + " not read yet"
	}
	return p
}

// pulseAge is how old the figures at the top of a page may be. They are counted over all
// items, which is too much for each page that somebody leaves open.
const pulseAge = 3 * time.Second

// figures are what the frame of each page and the first page show.
type figures struct {
	*store.HomeStats
	Enabled    bool // collecting is on
	Alerts     []alertLine
	Quarantine int // items that could not be had, or not whole
	Proposals  int // changes that wait for a second person
}

// stats returns the figures of the organization, at most maxAge old.
func (s *server) stats(ctx context.Context, maxAge time.Duration) (*figures, error) {
	s.counted.Lock()
	defer s.counted.Unlock()
	if now := s.Now(); s.counted.stats == nil || now.Sub(s.counted.at) >= maxAge {
		stats, err := s.count(ctx, now)
		if err != nil {
			return nil, err
		}
		s.counted.stats, s.counted.at = stats, now
	}
	return s.counted.stats, nil
}

func (s *server) count(ctx context.Context, now time.Time) (*figures, error) {
	stats, err := s.Org.Home(ctx, now)
	if err != nil {
		return nil, err
	}
	settings, _, err := s.Org.Settings(ctx)
	if err != nil {
		return nil, err
	}
	alerts, err := s.openAlerts(ctx)
	if err != nil {
		return nil, err
	}
	quarantine, err := s.Org.QuarantineCount(ctx)
	if err != nil {
		return nil, err
	}
	proposals, err := s.Org.WaitingProposals(ctx)
	return &figures{stats, settings.Enabled, alerts, quarantine, proposals}, err
}

// counted keeps the figures that were counted last. They are not changed afterwards.
type counted struct {
	sync.Mutex
	stats *figures
	at    time.Time
}

// forget has the figures counted anew for the next page.
func (c *counted) forget() {
	c.Lock()
	defer c.Unlock()
	c.stats = nil
}

// frame fills what the layout shows on every page.
func (s *server) frame(r *http.Request, p *page) error {
	stats, err := s.stats(r.Context(), pulseAge)
	if err != nil {
		return err
	}
	p.Pulse = pulseOf(stats)
	if p.Viewer.Admin {
		p.Quarantine = stats.Quarantine
		if p.Place != "home" { // which tells more
			p.Banner = newBanner(stats.Alerts)
		}
		p.Proposals = max(0, stats.Proposals-p.Deciding)
	}
	_, p.Unread, _, err = s.Org.Activities(r.Context(), store.MailQuery{Viewer: p.Viewer.ID, Mine: true, Unread: true, Limit: 1})
	return err
}
