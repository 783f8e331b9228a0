package ews

import "postern/crm"

// operations are all that is ever asked of Exchange. The client knows more, for the
// simulator and for the tests; a test holds this list against what the code sends.
var operations = []crm.Operation{
	{Name: "SyncFolderHierarchy", Reads: true, Purpose: "Lists the folders of a mailbox, and how far each has moved."},
	{Name: "SyncFolderItems", Reads: true, Purpose: "Lists the ids of what is new, changed or gone in a folder."},
	{Name: "GetItem", Reads: true, Purpose: "Fetches headers by id; texts and the list of attachments of messages that are filed alone."},
	{Name: "GetAttachment", Reads: true, Purpose: "Fetches attachments of messages that are filed."},
	{Name: "FindItem", Reads: true, Purpose: "Lists the ids in a folder by another road, for the proof that nothing was missed."},
	{Name: "GetFolder", Reads: true, Purpose: "Finds the folders of special meaning (Drafts, Junk, …), and tests the log-on."},
	{Name: "ResolveNames", Reads: true, Purpose: "Finds the e-mail address of a correspondent whom Exchange names by its own directory name."},
	{Name: "ExpandDL", Reads: true, Purpose: "Lists the members of a group that the policy names."},
	{Name: "Subscribe", Reads: true, Purpose: "Asks to be told when something changes in a mailbox."},
	{Name: "GetStreamingEvents", Reads: true, Purpose: "Waits to be told of changes, on one connection for many mailboxes."},
	{Name: "GetEvents", Reads: true, Purpose: "Asks what has changed, where the server cannot tell by itself."},
	{Name: "Unsubscribe", Reads: true, Purpose: "Ends a subscription."},
	{Name: "Autodiscover", Reads: true, Purpose: "Finds the server of a mailbox by what its domain publishes."},
}
