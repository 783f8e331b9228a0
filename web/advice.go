package web

import (
	"regexp"
	"strings"
)

// An advicePart is a piece of advice: prose, or a command to be copied.
type advicePart struct {
	Text    string `json:"text"`
	Command bool   `json:"command,omitempty"`
}

// cmdlet finds a PowerShell command that a line begins with or leads up to by a colon. It
// has arguments: a bare name is only mentioned.
var cmdlet = regexp.MustCompile(`(?m)(?:^|: )([A-Z][a-z]+-[A-Z][A-Za-z]+ .+)$`)

// cmdletEnd finds where prose goes on behind a command in the same line.
var cmdletEnd = regexp.MustCompile(`; [a-z]|, and |\. [A-Z]`)

// splitAdvice tells commands and prose of an advice apart, in their order.
func splitAdvice(advice string) []advicePart {
	var parts []advicePart
	prose := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			parts = append(parts, advicePart{Text: capital(s)})
		}
	}
	at := 0
	for _, m := range cmdlet.FindAllStringSubmatchIndex(advice, -1) {
		begin, end := m[2], m[3]
		next := end
		if tail := cmdletEnd.FindStringIndex(advice[begin:end]); tail != nil {
			end = begin + tail[0]
			next = begin + tail[1] - 1
			if advice[end] == ',' {
				next++
			}
		}
		prose(advice[at:begin])
		parts = append(parts, advicePart{strings.TrimSuffix(advice[begin:end], "."), true})
		at = next
	}
	prose(advice[at:])
	return parts
}
