package store

import (
	"strings"
	"sync"
)

// steps is asked before each durable step; see Options.Step. nil lets everything pass.
type steps func(name string) error

func (s steps) before(name string) error {
	if s == nil {
		return nil
	}
	return s(name)
}

// writes remembers what the texts of statements do: "insert decision", or "" for those
// that only read.
type writes struct{ names sync.Map }

func (w *writes) name(query string) string {
	if name, ok := w.names.Load(query); ok {
		return name.(string)
	}
	name := ""
	switch words := strings.Fields(query); words[0] {
	case "update":
		name = "update " + words[1]
	case "insert", "delete": // into, from
		name = words[0] + " " + words[2]
	}
	w.names.Store(query, name)
	return name
}
