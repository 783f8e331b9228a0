package crm

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"strconv"
	"strings"
)

// Key says which message an item is a copy of. It is made of the Message-ID, else of what
// all copies of one message have in common: who wrote to whom, when to the second, the
// subject and the text.
func (it *Item) Key() string {
	if it.MessageID != "" {
		sum := sha256.Sum256([]byte(it.MessageID))
		return "m:" + hex.EncodeToString(sum[:])
	}
	var from string
	var to []string
	for _, p := range it.People {
		switch p.Part {
		case From:
			from = string(p.Address)
		case To, Cc:
			to = append(to, string(p.Address))
		}
	}
	slices.Sort(to)
	h := sha256.New()
	field(h, from)
	field(h, strconv.Itoa(len(to)))
	for _, a := range to {
		field(h, a)
	}
	sent := ""
	if !it.Sent.IsZero() {
		sent = strconv.FormatInt(it.Sent.Unix(), 10)
	}
	field(h, sent)
	field(h, strings.Join(strings.Fields(it.Subject), " "))
	text := sha256.Sum256([]byte(it.Text))
	h.Write(text[:])
	return "f:" + hex.EncodeToString(h.Sum(nil))
}

// field writes s with its length in front, so that no two lists of fields read the same.
func field(h hash.Hash, s string) {
	h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
}
