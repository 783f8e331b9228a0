package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"

	"postern/crm"
)

// Threads are kept as a union-find over the ids that tie messages together: Message-IDs,
// references and the source's conversation ids, hashed to 64 bits. A row of thread_ref
// says to which thread a ref belongs; a thread is named by one of its refs, whose row
// names itself, or after a merge the thread that it went into. So a merge changes one
// row of refs, and the messages of the smaller side.

// longestThread is how many references of a message are looked at: the first, which
// began the thread, and the last.
const longestThread = 20

// threadRefs are the refs of a message, sorted.
func threadRefs(it *crm.Item) []int64 {
	ids := it.References
	if len(ids) > longestThread {
		ids = append([]string{ids[0]}, ids[len(ids)-longestThread+1:]...)
	}
	var refs []int64
	for _, id := range ids {
		refs = append(refs, threadRef("id", id))
	}
	if it.MessageID != "" {
		refs = append(refs, threadRef("id", it.MessageID))
	}
	if it.Thread != "" {
		refs = append(refs, threadRef("conversation", it.Thread))
	}
	if it.MessageID == "" { // its copies may stand in different conversations
		refs = append(refs, threadRef("key", it.Key()))
	}
	return unique(refs)
}

func threadRef(kind, id string) int64 {
	sum := sha256.Sum256([]byte(kind + "\x00" + id))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// threads finds the thread of each filing, merges threads that a filing joins, and keeps
// its refs.
func (s *saving) threads(ctx context.Context) error {
	var refs []int64
	for _, f := range s.filings {
		refs = append(refs, f.refs...)
	}
	refs = unique(refs)
	for range 10 { // again only when another transaction came in between
		stood, err := s.standing(ctx, refs)
		if err != nil {
			return err
		}
		groups := s.groups(stood)
		settled, err := s.merge(ctx, groups, stood)
		if err != nil {
			return err
		}
		if settled {
			if settled, err = s.keepRefs(ctx, refs, groups, stood); err != nil {
				return err
			}
		}
		if settled {
			for _, f := range s.filings {
				f.thread = groups.thread(f.refs[0])
			}
			return nil
		}
	}
	return fmt.Errorf("threads of %d messages do not settle", len(s.filings))
}

// standing returns the thread of each ref that is known.
func (s *saving) standing(ctx context.Context, refs []int64) (map[int64]int64, error) {
	next := map[int64]int64{} // as the rows have it
	for ask := refs; len(ask) > 0; {
		var further []int64
		err := in(ctx, s.t, "select ref, thread_id from thread_ref where org_id = $1 and ref in (%s)"+s.t.d.shareLock, []any{s.o.id}, ask,
			func(r *sql.Rows) error {
				var ref, thread int64
				if err := r.Scan(&ref, &thread); err != nil {
					return err
				}
				next[ref] = thread
				further = append(further, thread)
				return nil
			})
		if err != nil {
			return nil, err
		}
		ask = slices.DeleteFunc(unique(further), func(t int64) bool { _, known := next[t]; return known })
	}
	stood := map[int64]int64{}
	for _, ref := range refs {
		thread, known := next[ref]
		if !known {
			continue
		}
		for next[thread] != thread && next[thread] != 0 {
			thread = next[thread]
		}
		stood[ref] = thread
	}
	return stood, nil
}

// A unionFind groups numbers; a group is named by its smallest one.
type unionFind struct {
	parent map[int64]int64
	chosen map[int64]int64 // thread of a group, by the group's name
}

func (u *unionFind) find(n int64) int64 {
	for {
		p, ok := u.parent[n]
		if !ok || p == n {
			return n
		}
		n = p
	}
}

func (u *unionFind) union(a, b int64) {
	a, b = u.find(a), u.find(b)
	u.parent[max(a, b)] = min(a, b)
}

func (u *unionFind) thread(ref int64) int64 {
	group := u.find(ref)
	if t, ok := u.chosen[group]; ok {
		return t
	}
	return group
}

// groups puts together the refs and threads that the page's messages join.
func (s *saving) groups(stood map[int64]int64) *unionFind {
	u := &unionFind{parent: map[int64]int64{}, chosen: map[int64]int64{}}
	for _, f := range s.filings {
		for _, ref := range f.refs[1:] {
			u.union(f.refs[0], ref)
		}
	}
	for ref, thread := range stood {
		u.union(ref, thread)
	}
	for _, thread := range stood {
		group := u.find(thread)
		if t, ok := u.chosen[group]; !ok || thread < t {
			u.chosen[group] = thread
		}
	}
	return u
}

// merge moves the threads of a group into the chosen one. It tells whether nobody else
// moved them meanwhile.
func (s *saving) merge(ctx context.Context, groups *unionFind, stood map[int64]int64) (bool, error) {
	var threads []int64
	for _, thread := range stood {
		threads = append(threads, thread)
	}
	for _, from := range unique(threads) {
		into := groups.thread(from)
		if from == into {
			continue
		}
		n, err := s.t.exec(ctx, "update thread_ref set thread_id = $3 where org_id = $1 and ref = $2 and thread_id = $2", s.o.id, from, into)
		if err != nil || n == 0 {
			return false, err
		}
		if _, err := s.t.exec(ctx, "update message set thread_id = $3 where org_id = $1 and thread_id = $2", s.o.id, from, into); err != nil {
			return false, err
		}
	}
	return true, nil
}

// keepRefs writes the refs that are new, and the row of a thread named by one of them
// first. It tells whether nobody else wrote one meanwhile.
func (s *saving) keepRefs(ctx context.Context, refs []int64, groups *unionFind, stood map[int64]int64) (bool, error) {
	var args []any
	for _, ref := range refs {
		if _, known := stood[ref]; !known {
			args = append(args, s.o.id, ref, groups.thread(ref))
		}
	}
	settled := true
	err := s.t.insert(ctx, "insert into thread_ref (org_id, ref, thread_id) values", "(?, ?, ?)",
		"on conflict (org_id, ref) do update set thread_id = thread_ref.thread_id returning ref, thread_id", args, func(r *sql.Rows) error {
			var ref, thread int64
			if err := r.Scan(&ref, &thread); err != nil {
				return err
			}
			settled = settled && thread == groups.thread(ref)
			return nil
		})
	return settled, err
}
