// Package web shows what was collected, lets an administrator configure it, and lets
// other programs ask.
//
// Pages are rendered here from html/template; the style sheet and one small script are
// embedded. Every page works without the script, which only saves reloads: it streams the
// steps of a connection test, swaps the reading pane, keeps numbers fresh and writes times
// in the reader's time zone. Nothing is fetched from anywhere else, and the
// Content-Security-Policy says so: no inline script or style, no foreign source.
//
// The HTML of a message is a stranger's. It is sanitised each time it is shown and then
// still kept in a frame of its own whose policy runs no script and fetches nothing (see
// frame.go).
//
// # Who may see what
//
// Everybody who is signed in sees what was filed: contacts, their activities, users and
// their activities. My Emails shows what the own mailbox holds, Bcc recipients show only
// where the own mailbox knew them. Settings, the state of all mailboxes,
// quarantine, alerts and passwords are for administrators. What was not filed a user may look up in the own mailbox alone.
//
// # JSON
//
// The same session cookie opens the API. Lists are newest first; "next" is passed back as
// ?before= to go on, and is absent at the end.
//
//	GET  /api/mails                      My Emails; ?show=inbox|sent|unread ?threads=1 ?q=words ?limit=n ?before=
//	GET  /api/search?q=words             all filed messages
//	GET  /api/contacts?q=                contacts with the number of their activities
//	GET  /api/contacts/{id}/activities   a contact's activities
//	GET  /api/users?q=                   users
//	GET  /api/users/{id}/activities      a user's activities
//	GET  /api/messages/{id}              one message: people, text, attachments, copies, why it was filed
//	GET  /api/mailboxes                  state, counts and progress of each mailbox (administrators)
//	POST /api/mailboxes/look             read all mailboxes now (administrators)
//	GET  /api/quarantine                 what could not be had; ?mailbox=id ?show=left (administrators)
//	POST /api/quarantine/try             {"ids": […]} tries these items now; answers with how many they are
//	POST /api/quarantine/leave           {"ids": […]} leaves them; the same
//	GET  /api/alerts                     what wants an administrator now (administrators)
//	GET  /api/settings                   the connection; the password is never told (administrators)
//	PUT  /api/settings                   saves it; 422 with an error for each bad field (administrators)
//	POST /api/settings/test              tries it; one JSON object a line as each step ends (administrators)
//
// An error is an object {"error": {"code", "message", "advice"}} with the matching status.
// A body sent to the API is application/json; unknown fields are refused.
package web
