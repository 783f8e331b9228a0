package ews

import (
	"context"
)

// SyncFolderItems tells how a folder's items have changed since a state; without a
// state it lists them all. 1 to 512 changes a call.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/syncfolderitems-operation
type SyncFolderItems struct {
	Shape     ItemShape
	Folder    *FolderID
	SyncState string
	Ignore    []ItemID
	Max       int64  // MaxChangesReturned
	Scope     string // NormalItems or NormalAndAssociatedItems (2010 and later)
}

func (*SyncFolderItems) Operation() string { return "SyncFolderItems" }

func (v *SyncFolderItems) fields(x *codec) {
	x.elem("m:ItemShape", &v.Shape)
	x.target("m:SyncFolderId", &v.Folder)
	x.text("m:SyncState", &v.SyncState)
	itemIDs(x, "m:Ignore", &v.Ignore)
	x.number("m:MaxChangesReturned", &v.Max)
	x.text("m:SyncScope", &v.Scope)
}

// A ChangeKind is the element name of a change.
type ChangeKind string

const (
	Created         ChangeKind = "Create"
	Updated         ChangeKind = "Update"
	Deleted         ChangeKind = "Delete"
	ReadFlagChanged ChangeKind = "ReadFlagChange"
)

// change is an element whose name is its kind.
func (x *codec) change(kind *ChangeKind, fields func(*codec)) {
	if !x.reading() {
		x.wrapped("t:"+string(*kind), true, fields)
		return
	}
	for _, k := range [...]ChangeKind{Created, Updated, Deleted, ReadFlagChanged} {
		if x.advance(); x.at.have && string(x.d.local) == string(k) {
			*kind = k
			x.take()
			x.within(fields)
			return
		}
	}
}

// A SyncChange is one step of a folder's history. The same item may occur several
// times; the last one counts.
type SyncChange struct {
	Kind   ChangeKind
	Item   Item   // of Created and Updated
	ID     ItemID // of Deleted and ReadFlagChanged
	IsRead bool   // of ReadFlagChanged
}

// A SyncFolderItemsResult answers SyncFolderItems. The error form carries an empty
// SyncState and Last = true: storing that state would list the folder anew, and believing
// Last would hide the failure. Look at the Result first.
type SyncFolderItemsResult struct {
	Result
	SyncState string
	Last      bool // IncludesLastItemInRange
	Changes   []SyncChange
}

func (v *SyncFolderItemsResult) fields(x *codec) {
	v.Result.fields(x)
	x.keep("m:SyncState", &v.SyncState)
	x.always("m:IncludesLastItemInRange", &v.Last)
	if x.reading() || v.OK() {
		x.wrapped("m:Changes", true, func(x *codec) { each(x, &v.Changes, itemChange) })
	}
}

func itemChange(x *codec, v *SyncChange) {
	x.change(&v.Kind, func(x *codec) {
		switch v.Kind {
		case Deleted:
			x.elem("t:ItemId", &v.ID)
		case ReadFlagChanged:
			x.elem("t:ItemId", &v.ID)
			x.always("t:IsRead", &v.IsRead)
		default:
			item(x, &v.Item)
		}
	})
}

// SyncFolderItems returns a page of changes; a refused one is an *Error.
func (s *Session) SyncFolderItems(ctx context.Context, op *SyncFolderItems) (*SyncFolderItemsResult, error) {
	return single[SyncFolderItemsResult](ctx, s, exchange{op: op, want: 1})
}
