// Package sim is a simulated Exchange: one organization in memory that speaks Exchange
// Web Services and Autodiscover over HTTP, lets in whom an administrator would let in, and
// misbehaves on request.
//
// It exists because nobody has an Exchange server at hand when they change a line, and
// because a real one is never busy, torn or corrupt at the moment when a test needs it
// to be. What it promises:
//
//   - It behaves as the real one where a client can tell: ids that change on a move and
//     stay on an update, sync states that are opaque, belong to one folder and can be
//     lost, newest items first in a first run, deletes that show as tombstones, MIME
//     that is made anew at each call, recipients without SMTP addresses.
//   - It tells of changes as they happen, by streaming and by pull, with the limits, the
//     affinity to servers and the ways of losing notifications that the real one has.
//   - It is repeatable: no random numbers but those of a seed, and the clock is a field.
//     What it waits for, it waits for on timers: in a bubble of testing/synctest, time is
//     the bubble's.
//   - Raw letters lie in a temporary file, not in memory, and what is asked of them is
//     derived when it is asked for. So one process can hold a large organization and
//     the program under test.
//   - It keeps count of what was asked for, down to the items whose text was read.
//
// The state is driven in Go: [New], [Exchange.AddMailbox], [Exchange.AddAccount],
// [Exchange.Deliver], [Exchange.Load], [Item.Move], [Mailbox.MoveTo] and so on, or from
// another process by [Exchange.Control]. An [Exchange] is an http.Handler; that is its EWS
// face. Another face (Graph) would stand on the same state.
//
// # Access
//
// What an administrator sets, and what a client meets then:
//
//   - how to sign in: Basic, NTLM and Kerberos with and without Extended Protection, client
//     certificates ([Exchange.SetLogOn]);
//   - who acts for whom: impersonation by lists and groups ([Account]), users on their own
//     ([Exchange.AddUser]), delegates ([Mailbox.Share]);
//   - who may use EWS at all, and by which programs ([Exchange.Govern], [Mailbox.Govern]);
//   - where mailboxes are said to be, truly or not ([Exchange.Discover]).
//
// All of it can be changed between two requests. [Exchange.Requests] tells of each request
// from where it came, under which User-Agent, with which credentials, and which folders it
// saw. NTLM signs connections in: it needs a server made by [Exchange.Server] or
// [Exchange.Listen], with a certificate of an [Authority] where there is to be TLS. Two
// organizations are two values.
//
// # The truth
//
// What a client made of all this is judged by a record that no client has a hand in, kept
// apart from the record of requests. [Exchange.Truth] lists every item as it stands, each
// a [Copy]; Options.Journal gets the history as it happens, each line an [Event]. Both go
// out as JSON, one object a line, under the names in the tags of these types:
//
//	{"seq":7,"at":1772438400000000000,"kind":"moved",
//	 "mailbox":"ann@company.example","mailbox_id":"…","item":"AAMk…","folder":"AAMk…",
//	 "folder_path":"Projects/2026","folder_class":"IPF.Note","above":["msgfolderroot","root"],
//	 "message_id":"<1@client.example>","subject":"Offer","from":["clara@client.example"],
//	 "to":["ann@company.example"],"class":"IPM.Note","read":false,
//	 "sent":…,"received":…,"delivered":…,"was_item":"AAMk…","was_folder":"AAMk…"}
//
// Times are nanoseconds since 1970. An event's time is taken while the change is made,
// which is the moment from which clients see it. What is empty or false is left out, but
// for "read". The truth of an item has no seq, at, kind and no was_….
//
// The kinds are arrived, changed, read, moved, deleted, folder-created, folder-deleted,
// mailbox-created, mailbox-deleted and mailbox-renamed; see the constants.
package sim
