package ews

import "strconv"

// An ItemID names an item of a mailbox. Id is opaque, case-sensitive, and changes when
// the item moves to another folder; ChangeKey changes with each change of the item.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/itemid
type ItemID struct{ ID, ChangeKey string }

func (v *ItemID) fields(x *codec) {
	x.attr("Id", &v.ID)
	x.attr("ChangeKey", &v.ChangeKey)
}

// A FolderID names a folder, by id or by its distinguished name ("inbox"), for delegates
// together with the mailbox.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/distinguishedfolderid
type FolderID struct {
	ID, ChangeKey string
	Distinguished string
	Mailbox       *Mailbox // with Distinguished
}

func (v *FolderID) fields(x *codec) {
	x.attr("Id", &v.ID)
	x.attr("ChangeKey", &v.ChangeKey)
}

// choice is a t:FolderId or a t:DistinguishedFolderId.
func (v *FolderID) choice(x *codec) {
	const plain, distinguished = "t:FolderId", "t:DistinguishedFolderId"
	switch {
	case x.picks(plain, v.Distinguished == ""):
		x.elem(plain, v)
	case x.picks(distinguished, true):
		x.wrapped(distinguished, true, func(x *codec) {
			x.attr("Id", &v.Distinguished)
			x.attr("ChangeKey", &v.ChangeKey)
			opt(x, "t:Mailbox", &v.Mailbox)
		})
	}
}

// target is an element that holds one folder id.
func (x *codec) target(name string, v **FolderID) {
	if x.reading() {
		if x.child(name) {
			*v = new(FolderID)
			x.wrapped(name, true, (*v).choice)
		}
		return
	}
	if *v != nil {
		x.wrapped(name, true, (*v).choice)
	}
}

func folderIDs(x *codec, name string, v *[]FolderID) {
	list(x, name, v, func(x *codec, id *FolderID) { id.choice(x) })
}

func itemIDs(x *codec, name string, v *[]ItemID) {
	list(x, name, v, elements[ItemID]("t:ItemId"))
}

// Routing types of a mailbox: with EX the address is a legacy distinguished name of the
// directory, not an e-mail address.
const (
	RoutingSMTP = "SMTP"
	RoutingEX   = "EX"
)

// A Mailbox is an address with its name.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/mailbox
type Mailbox struct {
	Name, EmailAddress   string
	RoutingType, BoxType string
	ItemID               *ItemID
}

func (v *Mailbox) fields(x *codec) {
	x.text("t:Name", &v.Name)
	x.text("t:EmailAddress", &v.EmailAddress)
	x.text("t:RoutingType", &v.RoutingType)
	x.text("t:MailboxType", &v.BoxType)
	opt(x, "t:ItemId", &v.ItemID)
}

// recipient is an element around a single mailbox.
func (x *codec) recipient(name string, v **Mailbox) {
	x.wrapped(name, *v != nil, func(x *codec) { opt(x, "t:Mailbox", v) })
}

func (x *codec) recipients(name string, v *[]Mailbox) {
	list(x, name, v, elements[Mailbox]("t:Mailbox"))
}

// An ExtendedFieldURI names a MAPI property: by tag, or by set and name or id.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/extendedfielduri
type ExtendedFieldURI struct {
	DistinguishedSet string // DistinguishedPropertySetId
	Set              string // PropertySetId, a GUID
	Tag              string // PropertyTag, "0x670A" or decimal
	Name, ID         string // PropertyName or PropertyId
	Type             string // PropertyType: String, Integer, Boolean, Binary, SystemTime, …Array
}

// PropTag names a tagged MAPI property.
func PropTag(tag uint16, typ string) ExtendedFieldURI {
	return ExtendedFieldURI{Tag: "0x" + strconv.FormatUint(uint64(tag), 16), Type: typ}
}

// Is tells whether the path names this tag, however it is written.
func (v *ExtendedFieldURI) Is(tag uint16) bool {
	n, err := strconv.ParseUint(v.Tag, 0, 16)
	return err == nil && uint16(n) == tag
}

func (v *ExtendedFieldURI) fields(x *codec) {
	x.attr("DistinguishedPropertySetId", &v.DistinguishedSet)
	x.attr("PropertySetId", &v.Set)
	x.attr("PropertyTag", &v.Tag)
	x.attr("PropertyName", &v.Name)
	x.attr("PropertyId", &v.ID)
	x.attr("PropertyType", &v.Type)
}

// An ExtendedProperty is a MAPI property with its value. A property without a value is
// missing in answers.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/extendedproperty
type ExtendedProperty struct {
	Field  ExtendedFieldURI
	Value  string
	Values []string // of an …Array type
}

func (v *ExtendedProperty) fields(x *codec) {
	x.elem("t:ExtendedFieldURI", &v.Field)
	if x.reading() || v.Values == nil {
		x.keep("t:Value", &v.Value)
	}
	list(x, "t:Values", &v.Values, texts("t:Value"))
}

// Property returns the value of a tagged property.
func Property(list []ExtendedProperty, tag uint16) (string, bool) {
	for i := range list {
		if list[i].Field.Is(tag) {
			return list[i].Value, true
		}
	}
	return "", false
}

// A Path names a property in shapes, restrictions and updates: FieldURI, FieldURI with
// FieldIndex (an entry of a dictionary), or Extended.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/path
type Path struct {
	FieldURI, FieldIndex string
	Extended             ExtendedFieldURI
}

// Field names a property by its URI: "item:Subject".
func Field(uri string) Path { return Path{FieldURI: uri} }

// Tag names a tagged MAPI property.
func Tag(tag uint16, typ string) Path { return Path{Extended: PropTag(tag, typ)} }

func (v *Path) fields(x *codec) {
	const plain, indexed, extended = "t:FieldURI", "t:IndexedFieldURI", "t:ExtendedFieldURI"
	switch {
	case x.picks(plain, v.FieldURI != "" && v.FieldIndex == ""):
		x.wrapped(plain, true, func(x *codec) { x.attr("FieldURI", &v.FieldURI) })
	case x.picks(indexed, v.FieldURI != ""):
		x.wrapped(indexed, true, func(x *codec) {
			x.attr("FieldURI", &v.FieldURI)
			x.attr("FieldIndex", &v.FieldIndex)
		})
	case x.picks(extended, true):
		x.elem(extended, &v.Extended)
	}
}

func paths(x *codec, v *[]Path) {
	list(x, "t:AdditionalProperties", v, func(x *codec, p *Path) { p.fields(x) })
}

// Base shapes.
const (
	IDOnly        = "IdOnly"
	DefaultShape  = "Default"
	AllProperties = "AllProperties"
)

// A FolderShape says which properties of folders to return.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/foldershape
type FolderShape struct {
	Base       string
	Additional []Path
}

func (v *FolderShape) fields(x *codec) {
	x.text("t:BaseShape", &v.Base)
	paths(x, &v.Additional)
}

// An ItemShape says which properties of items to return.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/itemshape
type ItemShape struct {
	Base               string
	IncludeMimeContent bool
	BodyType           string // Best, HTML or Text
	UniqueBodyType     string
	NormalizedBodyType string
	FilterHTML         *bool
	ConvertCodePage    *bool
	MaximumBodySize    *int
	Additional         []Path
}

func (v *ItemShape) fields(x *codec) {
	x.text("t:BaseShape", &v.Base)
	x.flag("t:IncludeMimeContent", &v.IncludeMimeContent)
	x.text("t:BodyType", &v.BodyType)
	x.text("t:UniqueBodyType", &v.UniqueBodyType)
	x.text("t:NormalizedBodyType", &v.NormalizedBodyType)
	x.bool("t:FilterHtmlContent", &v.FilterHTML)
	x.bool("t:ConvertHtmlCodePageToUTF8", &v.ConvertCodePage)
	x.int("t:MaximumBodySize", &v.MaximumBodySize)
	paths(x, &v.Additional)
}

// A PageView asks for a part of a list, from an offset.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/indexedpageitemview
type PageView struct {
	Max       *int // MaxEntriesReturned; nil: as many as the server gives
	Offset    int
	BasePoint string // Beginning or End
}

func (v *PageView) fields(x *codec) {
	offset := &v.Offset
	x.attrInt("MaxEntriesReturned", &v.Max)
	x.attrInt("Offset", &offset)
	if offset != nil {
		v.Offset = *offset
	}
	x.attr("BasePoint", &v.BasePoint)
}

// Paging is what a server says about the part of a list that it returned.
type Paging struct {
	Offset *int // IndexedPagingOffset: where the next page begins
	Total  *int // TotalItemsInView
	Last   *bool
}

func (v *Paging) fields(x *codec) {
	x.attrInt("IndexedPagingOffset", &v.Offset)
	x.attrInt("TotalItemsInView", &v.Total)
	x.attrBool("IncludesLastItemInRange", &v.Last)
}

// A Body is the text of an item.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/body
type Body struct {
	Type      string // HTML or Text
	Truncated *bool
	Text      string
}

func (v *Body) fields(x *codec) {
	x.attr("BodyType", &v.Type)
	x.attrBool("IsTruncated", &v.Truncated)
	x.value(&v.Text)
}

// IsHTML tells whether the text is HTML.
func (v *Body) IsHTML() bool { return v.Type == "HTML" }

// Content is bytes that travel as base64. Reading, they stream to the writer that the
// call was given for them, else they are held in Bytes.
type Content struct {
	Bytes        []byte
	Size         int64  // how many bytes were read
	Err          error  // why they are not all: the text was no base64, or the writer refused
	CharacterSet string // of MIME; not to be believed
}

func (v *Content) fields(x *codec) {
	x.attr("CharacterSet", &v.CharacterSet)
	if !x.reading() {
		x.encode(v.Bytes)
		return
	}
	if !x.at.fresh {
		return
	}
	if x.sink != nil {
		if w := x.sink(); w != nil {
			v.Size, v.Err = x.d.content(w)
			x.at = frame{done: true}
			return
		}
	}
	v.Bytes, v.Err = x.held()
	v.Size = int64(len(v.Bytes))
	x.at = frame{done: true}
}
