package crm_test

import (
	"slices"
	"testing"

	"postern/crm"
)

func TestPaths(t *testing.T) {
	folders := []crm.Folder{
		{ID: "root", Name: "Top of Information Store", Role: crm.Root},
		{ID: "a", Parent: "root", Name: "Projects"},
		{ID: "b", Parent: "a", Name: "Leeds"},
		{ID: "c", Parent: "unlisted", Name: "Inbox", Role: crm.Inbox},
		{ID: "ring", Parent: "ring", Name: "Damaged"}, // must end, wherever
	}
	got := crm.Paths(folders)
	if want := []string{"Top of Information Store", "Projects", "Projects/Leeds", "Inbox"}; !slices.Equal(got[:4], want) {
		t.Errorf("paths %q, want %q", got[:4], want)
	}
}
