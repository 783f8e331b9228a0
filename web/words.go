package web

import (
	"fmt"
	"hash/fnv"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/crm"
)

// wordFuncs are the functions by which templates say times, sizes and names to people.
func wordFuncs(now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"short":    func(t time.Time) template.HTML { return timeTag(t, shortTime(t, now()), "short") },
		"ago":      func(t time.Time) template.HTML { return timeTag(t, ago(t, now()), "ago") },
		"next":     func(t time.Time) template.HTML { return timeTag(t, next(t, now()), "next") },
		"full":     func(t time.Time) template.HTML { return timeTag(t, fullTime(t, now()), "full") },
		"day":      func(t time.Time) template.HTML { return timeTag(t, t.UTC().Format("2 Jan"), "day") },
		"clock":    func(t time.Time) template.HTML { return timeTag(t, t.UTC().Format("15:04:05"), "clock") },
		"utc":      utc,
		"num":      number,
		"size":     fileSize,
		"span":     span,
		"initials": initials,
		"hue":      hue,
		"plural":   plural,
		"percent":  percent,
		"state":    func(m crm.MailboxState) mailboxWords { return stateWords[m] },
		"part":     partWord,
		"advice":   splitAdvice,
		"watch":    watchWordsOf,
		"capital":  capital,
		"lacks":    lacks,
		"first":    firstName,
		"breaks":   breaks,
		"join":     strings.Join,
		"action":   crm.AuditTitle,
		"add":      func(a, b int) int { return a + b },
	}
}

// timeTag writes a time as the server would say it, in UTC; the script says it again in
// the reader's zone. The whole time is there on hover.
func timeTag(t time.Time, words, form string) template.HTML {
	if t.IsZero() {
		return "–"
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-form="%s" title="%s">%s</time>`,
		t.Format(time.RFC3339), form, t.Format("Mon 2 Jan 2006, 15:04:05 UTC"), template.HTMLEscapeString(words)))
}

// utc says a time in full, the same for every reader: for what is printed or kept.
func utc(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// shortTime says no more than is needed to place a time: hour today, weekday this week,
// day this year.
func shortTime(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	switch {
	case !t.Before(midnight) && t.Before(midnight.AddDate(0, 0, 1)):
		return t.Format("15:04")
	case t.Before(midnight) && t.After(midnight.AddDate(0, 0, -6)):
		return t.Format("Mon 15:04")
	case t.Year() == now.Year():
		return t.Format("2 Jan")
	}
	return t.Format("2 Jan 2006")
}

// fullTime says day and hour, and the year when it is another.
func fullTime(t, now time.Time) string {
	if t, now = t.UTC(), now.UTC(); t.Year() != now.Year() {
		return t.Format("Mon 2 Jan 2006, 15:04")
	}
	return t.Format("Mon 2 Jan, 15:04")
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if d := now.Sub(t); d >= time.Second {
		return span(d) + " ago"
	} else if d <= -time.Second {
		return "in " + span(-d)
	}
	return "now"
}

// next says when something is to be done; what is due already is done as soon as may be.
func next(t, now time.Time) string {
	if t.Before(now) {
		return "now"
	}
	return ago(t, now)
}

// span says a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "< 1 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// number writes a count with thin spaces between thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func fileSize(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1e6:
		return strconv.FormatInt(int64(math.Round(float64(n)/1e3)), 10) + " KB"
	}
	return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
}

func percent(part, whole int) string {
	if whole == 0 {
		return "0 %"
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 0, 64) + " %"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// initials of a name, or of the local part of an address.
func initials(name string) string {
	name, _, _ = strings.Cut(name, "@")
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	switch len(words) {
	case 0:
		return "?"
	case 1:
		return upperStart(words[0])
	}
	return upperStart(words[0]) + upperStart(words[len(words)-1])
}

func upperStart(word string) string {
	for _, r := range word {
		return string(unicode.ToUpper(r))
	}
	return ""
}

// hue gives a name its colour: the same one everywhere, for ever.
func hue(name string) string {
	h := fnv.New32a()
	h.Write([]byte(strings.ToLower(name)))
	return "hue" + strconv.Itoa(int(h.Sum32()%10))
}

func firstName(name string) string {
	first, _, _ := strings.Cut(name, " ")
	return first
}

// partWord says the part that an address plays the way mail programs do.
func partWord(p crm.Part) string {
	switch p {
	case crm.From:
		return "From"
	case crm.Sender:
		return "Sender"
	case crm.To:
		return "To"
	case crm.Cc:
		return "Cc"
	case crm.Bcc:
		return "Bcc"
	case crm.ReplyTo:
		return "Reply-To"
	}
	return string(p)
}

// mailboxWords are the icon and the words of a mailbox state.
type mailboxWords struct{ Icon, Word, Meaning string }

var stateWords = map[crm.MailboxState]mailboxWords{
	crm.Provisioned: {"clock", "Not read yet", "It is read as soon as its turn comes."},
	crm.Importing:   {"download", "First import", "Older mail comes in, newest first; new mail is filed meanwhile."},
	crm.Live:        {"check", "Live", "All is read; new mail is filed as it comes."},
	crm.Waiting:     {"pause", "Waiting", "Passing trouble: it goes on by itself."},
	crm.Attention:   {"alert", "Needs attention", "Nothing is read until somebody changes something."},
	crm.Off:         {"off", "Off", "Not read: collecting is off, the policy does not allow it, or its user is not active."},
}

// watchWords say how new mail in a mailbox comes to notice: when and how, and both in a
// sentence.
type watchWords struct{ Icon, When, How, Sentence string }

func watchWordsOf(w crm.Watch) watchWords {
	switch w.Mode {
	case crm.Streaming:
		return watchWords{"bolt", "within seconds", "Exchange tells us", "Exchange tells us within seconds"}
	case crm.Pulling:
		return watchWords{"refresh", every(w.Every), "Exchange is asked", "Exchange is asked " + every(w.Every)}
	}
	return watchWords{"clock", every(w.Every), "looked at", "Looked at " + every(w.Every)}
}

// every says how often something is done.
func every(pause time.Duration) string {
	switch pause {
	case time.Second:
		return "every second"
	case time.Minute:
		return "every minute"
	case time.Hour:
		return "every hour"
	}
	return "every " + span(pause)
}

// causeOfMany says a cause, as crm.Cause.Title does, of several mailboxes.
func causeOfMany(c crm.Cause) string {
	switch c {
	case crm.Moving:
		return "they are being moved"
	case crm.MovedAway:
		return "they live on another server"
	case crm.Renamed:
		return "their addresses were changed"
	case crm.NoMailbox:
		return "no mailboxes with these addresses"
	case crm.Disabled:
		return "they are disabled"
	case crm.Recreated:
		return "they were created anew"
	case crm.Unlicensed:
		return "they may not be used through EWS"
	case crm.NotPermitted:
		return "the account may not read them"
	}
	return c.Title() // says nothing of a mailbox
}

// lacks says what is not there of a message.
func lacks(m crm.Missing) string {
	switch m {
	case crm.BodyWithheld:
		return "The policy has no text fetched: the header alone is filed"
	case crm.BodyMissing:
		return "The text and the list of attachments could not be read in Exchange"
	}
	return "The text could not be read in Exchange"
}

// capital begins a sentence.
func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

// breaks lets addresses in a text break before their @ where a line ends.
func breaks(s string) template.HTML {
	return template.HTML(strings.ReplaceAll(template.HTMLEscapeString(s), "@", "<wbr>@"))
}
