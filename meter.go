package main

import (
	"maps"
	"sync"

	"postern/crm"
	"postern/gate"
)

// A meter counts the requests to Exchange on their way into the access log.
type meter struct {
	log gate.Log

	mu       sync.Mutex
	requests map[string]int // by operation
	bytes    int64          // sent and received
}

// Record implements gate.Log.
func (m *meter) Record(a crm.Access) {
	m.mu.Lock()
	if m.requests == nil {
		m.requests = make(map[string]int)
	}
	m.requests[a.Operation]++
	m.bytes += a.Sent + a.Received
	m.mu.Unlock()
	if m.log != nil {
		m.log.Record(a)
	}
}

// Ready implements gate.Log.
func (m *meter) Ready() error {
	if m.log == nil {
		return nil
	}
	return m.log.Ready()
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
