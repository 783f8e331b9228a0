package gate

import (
	"context"
	"io"
	"testing"

	"postern/crm"
)

// furnished is a source with folders.
type furnished struct{ *counted }

func (f furnished) Folders(context.Context, *crm.Mailbox) ([]crm.Folder, error) {
	return []crm.Folder{
		{ID: "in", Name: "Inbox", Kind: crm.Email}, {ID: "own", Name: "Private", Kind: crm.Email}, {ID: "below", Parent: "own", Name: "More", Kind: crm.Email},
		{ID: "dates", Name: "Calendar", Kind: crm.Event},
	}, nil
}

// TestItemsAreGrantedByTheirFolder: an item that is asked for by its id comes out only from
// where may be read, and so does all that belongs to it; nobody has to have listed the
// folders before.
func TestItemsAreGrantedByTheirFolder(t *testing.T) {
	for folder, granted := range map[string]bool{"in": true, "own": false, "below": false, "dates": false, "elsewhere": false, "": false} {
		src := furnished{newCounted()}
		header := crm.Header{ID: "there", Folder: folder}
		src.headers["there"] = header
		terms := granting(true, "acme.example")
		terms.Policy.ExcludedFolders = []string{"Private"}
		guarded, box := opened(t, New(Config{}), src, terms), &crm.Mailbox{Address: ann}
		if list, err := guarded.Headers(t.Context(), box, []string{"there"}); err != nil || len(list) != map[bool]int{true: 1}[granted] {
			t.Errorf("in %q: %d headers, %v", folder, len(list), err)
		}
		_, original := guarded.Original(t.Context(), box, "there")
		for what, err := range map[string]error{
			"text":       guarded.Load(t.Context(), box, []crm.Header{header}, nil),
			"attachment": guarded.Attachments(t.Context(), box, []crm.Enclosure{{Header: header}}, func(int, io.Reader, *crm.Fault) error { return nil }),
			"original":   original,
		} {
			if granted != (err == nil) {
				t.Errorf("in %q: the %s: %v", folder, what, err)
			}
		}
	}
}
