package ews

// A subject is an operation that is about a folder, or about so many items by their ids.
// The access log shows it.
type subject interface {
	about() (folder string, items int)
}

// A listing is an answer that lists so many items.
type listing interface{ listed() int }

// one is the folder's id or distinguished name, if there is but one.
func one(list ...FolderID) string {
	switch {
	case len(list) != 1:
		return ""
	case list[0].ID != "":
		return list[0].ID
	}
	return list[0].Distinguished
}

func oneOf(f *FolderID) string {
	if f == nil {
		return ""
	}
	return one(*f)
}

func (v *GetFolder) about() (string, int)           { return one(v.IDs...), 0 }
func (v *SyncFolderHierarchy) about() (string, int) { return oneOf(v.Folder), 0 }
func (v *SyncFolderItems) about() (string, int)     { return oneOf(v.Folder), 0 }
func (v *FindItem) about() (string, int)            { return one(v.Parents...), 0 }
func (v *Subscribe) about() (string, int)           { return one(v.Folders...), 0 }
func (v *GetItem) about() (string, int)             { return "", len(v.IDs) }
func (v *GetAttachment) about() (string, int)       { return "", len(v.IDs) }

func (v *SyncFolderItemsResult) listed() int { return len(v.Changes) }
func (v *FindItemResult) listed() int        { return len(v.Items) }
