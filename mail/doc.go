// Package mail is what we need of mail itself: addresses, Message-IDs, messages, their
// text, and their HTML made safe.
//
// Mail comes from strangers and is often broken. So there are two manners here, and the
// name tells which:
//
//   - What a person types is judged: [ParseAddress] and [NormalizeDomain] return one
//     canonical form, or an error that says what is wrong.
//   - What a stranger sent is read as far as it can be: [Parse], [ParseHeader] and
//     [ParseList] never give up on a message because a part of it is broken; what was
//     odd is listed in [Message.Odd]. Nothing is invented: an address that is not sure is
//     left empty.
//
// All of it is bounded: time and memory grow linearly with the input, whatever the
// input, and depth, parts and header size have limits of our own. All text returned is
// valid UTF-8 without NUL, so that it can be stored anywhere.
//
// The structure of a message is read by a splitter of our own, in one pass: libraries read
// each level of a message through the level above, which costs the square of the
// depth, and give up on what real mailboxes hold. What lies within
// its bounds is decoded by go-message and the standard library; what they refuse is mended
// here. Tests hold the splitter against go-message.
//
// HTML is kept as it came. [Text] makes it searchable when it is filed; [SafeHTML] makes
// it harmless each time it is shown, so that a better filter also helps older mail.
package mail
