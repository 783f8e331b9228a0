package chaos

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"postern/crm"
)

// The harness is of use only if it notices. Here two rules are broken on purpose, from
// outside of the code under test, and it must say so.

// TestNoticesACursorAheadOfItsPage breaks "the cursor commits with its page": the cursor of a
// whole page comes with the first half of it. Whoever stores that cursor has moved past
// items that nothing was decided about.
func TestNoticesACursorAheadOfItsPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, wiring{connector: func(c crm.Connector) crm.Connector {
			open := c.Source
			c.Source = func(s crm.Settings, t crm.Transport) (crm.Source, error) {
				src, err := open(s, t)
				if err != nil {
					return nil, err
				}
				return hasty{src.(crm.Notifier)}, nil
			}
			return c
		}})
		w.front.rate = 0
		l := begin(w, false)
		l.live(5 * time.Minute)
		l.cursors(l.proc.dir)
		if len(l.broken) == 0 {
			t.Error("cursors moved past items without a decision, and nobody noticed")
		}
		if l.differs() == "" {
			t.Error("items were lost, and nobody noticed")
		}
		l.proc.halt()
	})
}

// hasty is a source whose pages carry a cursor that stands for more than they tell.
type hasty struct{ crm.Notifier }

func (h hasty) Changes(ctx context.Context, box *crm.Mailbox, f crm.Folder, since crm.Cursor) (*crm.Page, error) {
	page, err := h.Notifier.Changes(ctx, box, f, since)
	if err == nil && len(page.Headers) > 1 {
		page.Headers = page.Headers[:len(page.Headers)/2]
	}
	return page, err
}

// TestNoticesALostUniqueKey takes the unique keys of messages and activities away and then
// files some messages a second time, as two workers would that had both looked before
// either had written.
func TestNoticesALostUniqueKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, wiring{})
		w.front.rate = 0
		l := begin(w, false)
		l.live(2 * time.Minute)
		l.catchUp()
		if d := l.differs(); d != "" {
			t.Fatalf("before anything was broken: %s", d)
		}
		l.proc.halt()
		l.doubleMessages()
		l.start()
		if l.differs() == "" {
			t.Error("messages were doubled, and nobody noticed")
		}
		l.proc.halt()
	})
}

// doubleMessages rebuilds the tables of messages and activities without their unique keys,
// and with all that is in them twice.
func (l *life) doubleMessages() {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(l.proc.dir, "postern.db"))
	l.must(err)
	defer db.Close()
	for _, statement := range []string{
		"create table message_without as select * from message",
		"insert into message_without select (select max(id) from message) + id, " + l.columns(db, "message") + " from message",
		"drop table message", "alter table message_without rename to message",
		"create table activity_without as select * from activity",
		"insert into activity_without select (select max(id) from activity) + id, " + l.columns(db, "activity") + " from activity",
		"drop table activity", "alter table activity_without rename to activity",
		"update activity set message_id = message_id + (select max(id) / 2 from message) where id > (select max(id) / 2 from activity)",
	} {
		_, err := db.Exec(statement)
		l.must(err)
	}
}

// columns lists those of a table, its id apart.
func (l *life) columns(db *sql.DB, table string) string {
	var list string
	l.must(db.QueryRow("select group_concat(name, ', ') from pragma_table_info(?) where name <> 'id'", table).Scan(&list))
	return list
}
