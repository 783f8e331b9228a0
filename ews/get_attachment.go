package ews

import (
	"context"
	"io"
)

// GetAttachment reads attachments by id.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/getattachment-operation
type GetAttachment struct {
	Shape *AttachmentShape
	IDs   []string
}

// An AttachmentShape says what to return of item attachments.
type AttachmentShape struct {
	IncludeMimeContent bool
	BodyType           string
	Additional         []Path
}

func (v *AttachmentShape) fields(x *codec) {
	x.flag("t:IncludeMimeContent", &v.IncludeMimeContent)
	x.text("t:BodyType", &v.BodyType)
	paths(x, &v.Additional)
}

func (*GetAttachment) Operation() string { return "GetAttachment" }

func (v *GetAttachment) fields(x *codec) {
	opt(x, "m:AttachmentShape", &v.Shape)
	list(x, "m:AttachmentIds", &v.IDs, func(x *codec, id *string) {
		x.wrapped("t:AttachmentId", true, func(x *codec) { x.attr("Id", id) })
	})
}

// An AttachmentsResult answers GetAttachment, one attachment each.
type AttachmentsResult struct {
	Result
	Attachments []Attachment
}

func (v *AttachmentsResult) fields(x *codec) {
	v.Result.fields(x)
	if !x.reading() && v.Attachments == nil {
		v.Attachments = []Attachment{} // the schema wants the element in errors, too
	}
	attachments(x, "m:Attachments", &v.Attachments)
}

// GetAttachment hands one result for each id, in order, to take while the answer is
// coming in. sink, when not nil, gives the writer for the content of attachment i, which
// is complete when take gets the result without an error.
func (s *Session) GetAttachment(ctx context.Context, op *GetAttachment, sink func(i int) io.Writer, take func(i int, r *AttachmentsResult) error) error {
	return call[AttachmentsResult](ctx, s, exchange{op: op, want: len(op.IDs), sink: sink}, take)
}
