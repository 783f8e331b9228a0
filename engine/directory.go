package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"postern/crm"
	"postern/mail"
)

const (
	membersHold = 15 * time.Minute // how long what is known of a group is taken for true
	askAgain    = time.Minute      // pause after a group could not be asked for
)

// A directory keeps the members of the groups that the policy names.
type directory struct {
	*Engine
	refused map[mail.Address]time.Time // when a group could not be asked for
	asking  atomic.Bool
}

func (e *Engine) newDirectory() *directory {
	return &directory{Engine: e, refused: map[mail.Address]time.Time{}}
}

// glance begins to ask in the background, where the policy names groups and nobody is
// asking.
func (d *directory) glance(ctx context.Context, wg *sync.WaitGroup) {
	d.mu.Lock()
	names := d.terms.Policy.GroupNames()
	d.mu.Unlock()
	if len(names) == 0 || d.asking.Swap(true) {
		return
	}
	wg.Go(func() {
		defer d.asking.Store(false)
		d.ask(ctx)
	})
}

// ask asks for the members of those groups of which they are not known, or were asked for
// too long ago. What cannot be had leaves what was known before as it was: of a group to
// deny, that is the safe side.
func (d *directory) ask(ctx context.Context) {
	d.mu.Lock()
	enabled, names, line := d.terms.Settings.Enabled, d.terms.Policy.GroupNames(), d.line
	d.mu.Unlock()
	if !enabled || len(names) == 0 || line == nil || line.src == nil || line.stopped(d.Now()) != nil {
		return
	}
	known, err := d.Org.Groups(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.Log.Error("read the groups of the policy", "err", err)
		}
		return
	}
	fresh := map[mail.Address]bool{}
	for _, g := range known {
		fresh[g.Address] = d.Now().Sub(g.Expanded) < membersHold
	}
	for _, name := range names {
		if fresh[name] || d.Now().Sub(d.refused[name]) < askAgain {
			continue
		}
		if err := d.renew(ctx, line, name); err != nil && ctx.Err() == nil {
			d.refused[name] = d.Now()
			d.Log.Warn("members of a group cannot be had", "code", crm.AsFault(err).Code, "err", err)
		}
	}
}

// renew asks for the members of one group and keeps them.
func (d *directory) renew(ctx context.Context, line *line, group mail.Address) (err error) {
	defer caught(&err)
	source, ok := line.src.(crm.Directory)
	if !ok {
		return nil
	}
	var members []mail.Address
	err = line.prove(ctx, func() (err error) {
		if held := line.stopped(d.Now()); held != nil {
			return held
		}
		if members, err = source.Members(ctx, group); err != nil {
			d.stop(ctx, line, &crm.Mailbox{}, err)
			return err
		}
		line.works()
		return nil
	})
	if err != nil {
		return err
	}
	return d.Org.SaveGroup(ctx, group, members)
}
