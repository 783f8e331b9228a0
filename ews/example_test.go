package ews_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"postern/ews"
)

// Example lists the subjects of what lies in a mailbox's inbox.
func Example() {
	client, err := ews.New(ews.Config{
		URL: "mail.example.com", Login: `EXAMPLE\svc-postern`, Password: func() string { return "from a vault" },
		UserAgent: func() string { return "Example/1.0" }, Dial: new(net.Dialer).DialContext,
	})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	ctx := context.Background()
	ann := client.As("ann@example.com")
	page, err := ann.SyncFolderItems(ctx, &ews.SyncFolderItems{
		Shape: ews.ItemShape{Base: ews.IDOnly}, Folder: &ews.FolderID{Distinguished: "inbox"}, Max: 100,
	})
	if err != nil {
		panic(err) // an *Error, with the server's code and its request id
	}
	get := &ews.GetItem{Shape: ews.ItemShape{Base: ews.IDOnly, Additional: []ews.Path{ews.Field("item:Subject")}}}
	for _, c := range page.Changes {
		get.IDs = append(get.IDs, c.Item.ID)
	}
	// Originals could be streamed to files by the third argument.
	toMemory := (func(int) io.Writer)(nil)
	err = ann.GetItem(ctx, get, toMemory, func(i int, r *ews.ItemsResult) error {
		if err := r.Err(); err != nil {
			fmt.Println(get.IDs[i].ID, err) // this one alone
			return nil
		}
		fmt.Println(r.Items[0].Subject)
		return nil
	})
	if err != nil {
		panic(err)
	}
}
