// Package ews speaks Exchange Web Services, and reads mailboxes by it.
//
// It has two halves. The protocol half is a client that can be used on its own; it
// imports nothing else of this module. A [Client] is one login on one server; [Client.As]
// gives the [Session] that acts for one mailbox. Every operation is a struct in a file of
// its own, with its answer and the call that sends it: fill [GetItem], hand it to
// [Session.GetItem], and look at the [Result] of each response message, because Exchange
// judges each part of a request by itself. A request that fails as a whole is an [Error].
//
// Each struct describes its XML once, in the order of Microsoft's schema, for reading and
// writing (codec.go), over a pull decoder made for what real servers send (decode.go). So
// the same structs read requests and write answers ([ReadRequest], [WriteResponse],
// [WriteFault]): a server, such as a simulated Exchange, is built of what the client is
// built of.
//
// Notifications are streamed over connections of their own ([Session.GetStreamingEvents])
// or pulled ([Session.GetEvents]); a [Group] keeps the subscriptions of one connection on
// one server. Config.Admit decides when each request leaves, and hears what came of it.
//
// The translating half (source.go, notify.go, check.go, faults.go) turns that into the
// words of package crm: a [crm.Source] that lists headers first and loads bodies of what
// is to be filed, a [crm.Notifier], a connection test that tells each step, and the table
// in which each error code of the protocol becomes a [crm.Fault] with cause and advice.
package ews
