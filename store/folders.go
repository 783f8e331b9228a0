package store

import "postern/crm"

// A Folder is a folder of a mailbox and how far it has been read.
type Folder struct {
	ID         crm.FolderID // ours; Folder.ID is the source's
	crm.Folder              // as the source tells it
	Path       string       // names from the top, joined by "/"
	InScope    bool
	Cursor     crm.Cursor
	Listed     bool   // a full listing was completed
	Epoch      int    // counts the full listings begun; see ResetFolder
	SavedMark  string // Mark at the last completed pass
}
