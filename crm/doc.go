// Package crm holds the words of the house: what a mailbox, a header, a decision and an
// activity are, the few interfaces to the outside, and faults. It does no I/O.
//
// A mail system is a [Source]. It first tells who wrote what to whom ([Header]); package
// match decides; only what is to be filed is loaded ([Item]) and becomes an [Activity].
// What goes wrong outside is judged once, by the package that knows the protocol, and
// travels as a [Fault].
//
// All times are UTC. Ids of different things are different types.
package crm
