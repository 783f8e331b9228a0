package ews

// Folder element names.
const (
	PlainFolder    = "Folder"
	CalendarFolder = "CalendarFolder"
	ContactsFolder = "ContactsFolder"
	SearchFolder   = "SearchFolder"
	TasksFolder    = "TasksFolder"
)

// A Folder of a mailbox. Element is the name of its XML element and tells what it holds;
// so does Class (IPF.Note, …), which old folders lack.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/folder
type Folder struct {
	Element       string
	ID            FolderID
	Parent        *FolderID
	Class         string
	Name          string // DisplayName, in the user's language
	Total         *int   // TotalCount
	Children      *int   // ChildFolderCount
	Extended      []ExtendedProperty
	Distinguished string // DistinguishedFolderId, since 2013
	Unread        *int   // UnreadCount
}

func (v *Folder) fields(x *codec) {
	if x.reading() || v.ID.ID != "" {
		x.elem("t:FolderId", &v.ID)
	}
	opt(x, "t:ParentFolderId", &v.Parent)
	x.text("t:FolderClass", &v.Class)
	x.text("t:DisplayName", &v.Name)
	x.int("t:TotalCount", &v.Total)
	x.int("t:ChildFolderCount", &v.Children)
	each(x, &v.Extended, elements[ExtendedProperty]("t:ExtendedProperty"))
	x.text("t:DistinguishedFolderId", &v.Distinguished)
	switch v.Element {
	case CalendarFolder, ContactsFolder:
		// these have permissions and sharing instead, which nobody here asks for
	default:
		x.int("t:UnreadCount", &v.Unread)
	}
}

// folder is a folder under its own element name, whatever that is.
func folder(x *codec, v *Folder) { x.named(&v.Element, v, folderElement) }

func folderElement(local []byte) string {
	switch name := string(local); name {
	case PlainFolder, CalendarFolder, ContactsFolder, SearchFolder, TasksFolder:
		return name
	}
	return ""
}

func folders(x *codec, name string, v *[]Folder) { list(x, name, v, folder) }
