package chaos

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite"

	"postern/engine"
	"postern/sim"
	"postern/verify"
)

// A breach is a promise that was broken.
type breach struct {
	about string // a word by which the item stands in the journal, "" if it concerns none
	what  string
}

func (w *world) wrong(about, format string, args ...any) {
	w.broken = append(w.broken, breach{about, fmt.Sprintf(format, args...)})
}

// history is what became of the first thing for which a promise was broken.
func (w *world) history() string {
	for _, b := range w.broken {
		if b.about == "" {
			continue
		}
		var lines []string
		for line := range strings.Lines(w.journal.String()) {
			if strings.Contains(line, strconv.Quote(b.about)) {
				lines = append(lines, line)
			}
		}
		return b.what + ". Its history:\n" + strings.Join(lines, "")
	}
	return ""
}

// query runs a query of our own against the tables in a data folder.
func (w *world) query(dir, query string, each func(*sql.Rows) error) {
	w.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "postern.db")+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	w.must(err)
	defer db.Close()
	rows, err := db.QueryContext(context.Background(), query)
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		w.must(each(rows))
	}
	w.must(rows.Err())
}

// cursors checks that no cursor in a data folder has moved past an item that was not
// decided about.
func (w *world) cursors(dir string) {
	w.Helper()
	decided := map[string]bool{}
	w.query(dir, "select mailbox_id, item from decision", func(r *sql.Rows) error {
		var box, item string
		err := r.Scan(&box, &item)
		decided[box+" "+item] = true
		return err
	})
	w.query(dir, "select mailbox_id, name, cursor from folder where cursor <> ''", func(r *sql.Rows) error {
		var box, name, cursor string
		if err := r.Scan(&box, &name, &cursor); err != nil {
			return err
		}
		items, ok := w.exchange.CoveredBy(cursor)
		if !ok {
			w.wrong("", "folder %q of mailbox %s has a cursor that Exchange never gave out", name, box)
		}
		for _, item := range items {
			if !decided[box+" "+item] {
				w.wrong(item, "the cursor of folder %q of mailbox %s has moved past item %s, which has no decision", name, box, item)
			}
		}
		return nil
	})
}

// judge checks all that must hold once everything was caught up with.
func (l *life) judge() {
	l.cursors(l.proc.dir)
	l.prove()
	l.compare()
	l.patient()
}

// prove has the engine itself prove all folders.
func (l *life) prove() {
	folders := 0
	for range 60 { // while the server is left alone nothing can be proved
		rests := false
		err := l.proc.engine.Reconcile(l.Context(), func(r engine.Report) error {
			rests = rests || r.Fault != nil && r.Fault.Code == "resting"
			return nil
		})
		if err != nil || !rests {
			break
		}
		l.pause(time.Minute)
	}
	err := l.proc.engine.Reconcile(l.Context(), func(r engine.Report) error {
		folders++
		if !r.Proved() {
			about := ""
			if len(r.Differs) > 0 {
				about = r.Differs[0].Item
			}
			l.wrong(about, "%s %s is not proved: %+v", r.Address, r.Folder, r)
		}
		return nil
	})
	if err != nil {
		l.wrong("", "the proof failed: %v", err)
	}
	if folders == 0 {
		l.wrong("", "the proof looked at no folder")
	}
}

// report has the third program compare the data folder with what Exchange holds.
func (l *life) report() verify.Report {
	r, err := verify.Compare(l.Context(), verify.Input{
		Database: filepath.Join(l.proc.dir, "postern.db"), Truth: strings.NewReader(l.truth()), History: strings.NewReader(l.journal.String()),
	})
	l.must(err)
	return r
}

// differs says what is not as it should be yet; "" when all is.
func (l *life) differs() string {
	if r := l.report(); r.Differences() > 0 {
		return r.String()
	}
	return ""
}

// compare notes each difference.
func (l *life) compare() {
	report := l.report()
	l.log.note("%s", report)
	for _, kind := range []struct {
		name string
		list []verify.Finding
	}{{"lost", report.Lost}, {"doubled", report.Doubled}, {"wrong", report.Wrong}, {"undecided", report.Undecided}} {
		for _, f := range kind.list {
			l.wrong(cmp.Or(f.Item, f.MessageID), "%s: %s %s: %s", kind.name, f.Mailbox, f.MessageID, f.What)
		}
	}
}

// truth lists what stands in Exchange, an item a line.
func (w *world) truth() string {
	w.Helper()
	var b strings.Builder
	w.must(w.exchange.Truth(func(c sim.Copy) error {
		line, err := json.Marshal(c)
		fmt.Fprintf(&b, "%s\n", line)
		return err
	}))
	return b.String()
}
