package store

import "postern/crm"

// An Entry is an item of a page with its decision.
type Entry struct {
	Header   *crm.Header
	Decision crm.Decision
	Item     *crm.Item    // the message, to be filed now; nil for a filed item whose copy is known
	Folder   crm.FolderID // 0 = Page.Folder
}

// A Page is what one step brought, to be saved in one transaction.
type Page struct {
	Mailbox   *crm.Mailbox
	Folder    crm.FolderID // 0 for retries and rematches, which move no cursor
	Epoch     int          // of the folder
	Rev       int64        // from People
	Entries   []Entry
	Gone      []string        // item ids; unknown ones are ignored
	Read      map[string]bool // read state by item id; unknown ones are ignored
	SetCursor bool
	Next      crm.Cursor
	Last      bool   // the listing is complete: what it did not bring is gone
	Mark      string // with Last: the folder's mark that the listing came up to
}

// A PageResult tells what a page brought.
type PageResult struct {
	Filed  []crm.ActivityID // new activities
	Copies int              // new copies, those of new activities included
}
