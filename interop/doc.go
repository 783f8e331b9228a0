// Package interop lets programs that others wrote judge our simulated Exchange: as both
// of our ends could share a mistake, two EWS clients with nothing of ours in them read
// the same letters from it over the network, and what they show is compared with what
// a person reads in the letters.
//
// The clients are ews-javascript-api (npm) and DavMail (Debian), which puts IMAP in front
// of EWS. The tests run when POSTERN_INTEROP is set; a missing client is then a failure.
package interop
