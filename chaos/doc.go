// Package chaos holds the proof that nothing that Exchange, the network, the disk, the
// clock or an operator does loses a message, doubles one, or moves a cursor past an item
// that was not decided about.
//
// It does so in two ways. From inside: the real engine, client and store live with a
// simulated Exchange in a bubble with a clock and a network of its own; one seed is one
// run, and the same seed is the same run. From outside: the real process is killed,
// frozen, starved and cut off. Both are judged by the simulator's own journal.
package chaos
