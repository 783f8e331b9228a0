package ews

import (
	"context"
)

// DeleteItem deletes items or moves them to Deleted Items. A plain *Result answers it.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/deleteitem-operation
type DeleteItem struct {
	Type             string // DeleteType: HardDelete, SoftDelete, MoveToDeletedItems
	Cancellations    string // SendMeetingCancellations
	Occurrences      string // AffectedTaskOccurrences
	SuppressReceipts *bool
	IDs              []ItemID
}

func (*DeleteItem) Operation() string { return "DeleteItem" }

func (v *DeleteItem) fields(x *codec) {
	x.attr("DeleteType", &v.Type)
	x.attr("SendMeetingCancellations", &v.Cancellations)
	x.attr("AffectedTaskOccurrences", &v.Occurrences)
	x.attrBool("SuppressReadReceipts", &v.SuppressReceipts)
	itemIDs(x, "m:ItemIds", &v.IDs)
}

// DeleteItem returns one result for each id, in order.
func (s *Session) DeleteItem(ctx context.Context, op *DeleteItem) ([]Result, error) {
	return collect[Result](ctx, s, exchange{op: op, want: len(op.IDs), writes: true})
}
