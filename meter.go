package main

import (
	"maps"
	"sync"

	"postern/ews"
)

// A meter counts the requests to Exchange.
type meter struct {
	mu       sync.Mutex
	requests map[string]int // by operation
	bytes    int64          // sent and received
}

func (m *meter) observe(c ews.Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests == nil {
		m.requests = make(map[string]int)
	}
	m.requests[c.Operation]++
	m.bytes += c.Sent + c.Received
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
