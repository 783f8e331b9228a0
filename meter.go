package main

import (
	"maps"
	"sync"

	"postern/crm"
	"postern/store"
)

// A meter counts the requests to Exchange on their way into the access log.
type meter struct {
	*store.AccessWriter

	mu       sync.Mutex
	requests map[string]int // by operation
	bytes    int64          // sent and received
}

// newMeter returns a meter of an organization, to be closed when nothing is asked any more.
func newMeter(org *store.Org) *meter {
	return &meter{AccessWriter: org.AccessWriter(), requests: make(map[string]int)}
}

// Record implements gate.Log.
func (m *meter) Record(a crm.Access) {
	m.mu.Lock()
	m.requests[a.Operation]++
	m.bytes += a.Sent + a.Received
	m.mu.Unlock()
	m.AccessWriter.Record(a)
}

// read returns what was counted so far.
func (m *meter) read() (requests map[string]int, total int, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.requests {
		total += n
	}
	return maps.Clone(m.requests), total, m.bytes
}
