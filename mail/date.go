package mail

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

var errDate = errors.New("no date that can be read")

// ParseDate reads the date of a header in the forms that mail has had in fifty years:
// RFC 5322 and its obsolete forms, asctime, ISO 8601, without seconds, with two digits
// of the year, with names of zones, with names of months in some other languages. A
// date without a zone is taken as UTC. The result is in UTC, to the second.
func ParseDate(s string) (time.Time, error) {
	if len(s) > 500 {
		return time.Time{}, errDate
	}
	var d dateParts
	d.day, d.year, d.month = -1, -1, -1
	for _, w := range dateWords(s) {
		d.take(w)
	}
	return d.time()
}

// dateWords cuts a date into its words; comments go, unless the zone is only there.
func dateWords(s string) []string {
	var words []string
	for len(s) > 0 {
		if s[0] == '(' {
			if end := closingParen(s, 0); end > 0 {
				s = s[end+1:]
				continue
			}
		}
		n := strings.IndexAny(s, " \t\r\n,;()")
		if n < 0 {
			n = len(s)
		}
		if n > 0 {
			words = append(words, s[:n])
			s = s[n:]
			continue
		}
		s = s[1:]
	}
	return words
}

type dateParts struct {
	day, month, year int
	clock            bool
	h, m, s          int
	pm, noon         bool // "PM" was seen; "AM" or "PM" was seen
	zone             time.Duration
	zoned            bool
}

func (d *dateParts) take(w string) {
	low := strings.ToLower(w)
	switch {
	case strings.Contains(w, "T") && d.isoDateTime(w):
	case strings.Contains(w, ":") && !d.clock:
		d.takeClock(w)
	case d.clock && !d.zoned && d.takeOffset(low):
	case low == "am" || low == "pm":
		d.noon, d.pm = true, low == "pm"
	case d.month < 0 && d.dashed(low):
	case d.takeNumber(w):
	default:
		if m := monthNamed(low); m > 0 && d.month < 0 {
			d.month = m
		} else if z, ok := zones[low]; ok && d.clock && !d.zoned {
			d.zone, d.zoned = z, true
		}
	}
}

// isoDateTime takes 2026-11-21T18:00:00.5+01:00.
func (d *dateParts) isoDateTime(w string) bool {
	date, clock, _ := strings.Cut(w, "T")
	if !strings.Contains(clock, ":") || !d.dashed(date) {
		return false
	}
	d.takeClock(clock)
	return true
}

// dashed takes a date in one word: 2026-11-21, 21-Nov-2026, 2026/11/21.
func (d *dateParts) dashed(w string) bool {
	p := strings.FieldsFunc(w, func(r rune) bool { return r == '-' || r == '/' || r == '.' })
	if len(p) != 3 {
		return false
	}
	a, errA := strconv.Atoi(p[0])
	c, errC := strconv.Atoi(p[2])
	m := monthNamed(p[1])
	if n, err := strconv.Atoi(p[1]); err == nil && (len(p[0]) == 4 || strings.Contains(w, ".")) {
		m = n // 11/12/2026 is left alone: who wrote it decides what it means
	}
	if errA != nil || errC != nil || m < 1 {
		return false
	}
	if len(p[0]) == 4 {
		a, c = c, a
	}
	d.day, d.month, d.year = a, m, fullYear(c, p[2])
	if c > 999 {
		d.year = c
	}
	return true
}

// takeClock takes 18:00, 18:00:00, 18:00:00.123, with an offset attached or not.
func (d *dateParts) takeClock(w string) {
	if n := strings.IndexAny(w, "+-Zz"); n > 0 {
		if !d.takeOffset(strings.ToLower(w[n:])) {
			return
		}
		w = w[:n]
	}
	p := strings.SplitN(w, ":", 3)
	if len(p) < 2 { // the colon was in the offset
		return
	}
	h, errH := strconv.Atoi(p[0])
	m, errM := strconv.Atoi(p[1])
	sec := 0
	if len(p) == 3 {
		whole, _, _ := strings.Cut(p[2], ".")
		sec, _ = strconv.Atoi(whole)
	}
	if errH != nil || errM != nil || h < 0 || h > 24 || m < 0 || m > 59 || sec < 0 || sec > 60 {
		return
	}
	d.clock, d.h, d.m, d.s = true, h, m, sec
}

// takeOffset takes +0100, +01:00, -600, gmt+1, z, 0000.
func (d *dateParts) takeOffset(w string) bool {
	w = strings.TrimPrefix(strings.TrimPrefix(w, "gmt"), "utc")
	if w == "z" || w == "" || w == "0000" {
		d.zoned = true
		return true
	}
	sign := time.Duration(1)
	switch w[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return false
	}
	digits := strings.ReplaceAll(w[1:], ":", "")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || len(digits) > 4 {
		return false
	}
	if len(digits) <= 2 {
		n *= 100
	}
	if n/100 > 15 || n%100 > 59 {
		n = 0 // nonsense such as -9900 says nothing
	}
	d.zone, d.zoned = sign*(time.Duration(n/100)*time.Hour+time.Duration(n%100)*time.Minute), true
	return true
}

func (d *dateParts) takeNumber(w string) bool {
	w = strings.TrimRight(w, ".") // German ordinals
	n, err := strconv.Atoi(w)
	if err != nil || n < 0 {
		return false
	}
	switch {
	case d.day < 0 && len(w) <= 2:
		d.day = n
	case d.year < 0 && len(w) <= 4:
		d.year = fullYear(n, w)
	}
	return true
}

// fullYear completes years of two and three digits (RFC 5322, 4.3). Programs that were
// not ready for the year 2000 wrote 102 or 0102 for 2002.
func fullYear(n int, digits string) int {
	switch {
	case len(digits) <= 2 && n < 50:
		return 2000 + n
	case len(digits) <= 3, n >= 100 && n < 200:
		return 1900 + n
	}
	return n
}

func (d *dateParts) time() (time.Time, error) {
	// Exchange writes 1601 and 4501 for "none"; there was no mail before 1970 either.
	if d.day < 1 || d.day > 31 || d.month < 1 || d.month > 12 || d.year < 1970 || d.year > 2200 {
		return time.Time{}, errDate
	}
	if d.noon {
		d.h %= 12
		if d.pm {
			d.h += 12
		}
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.h, d.m, d.s, 0, time.UTC)
	if t.AddDate(0, 0, -1).Month() != time.Month(d.month) && d.day > 1 && d.h < 24 {
		return time.Time{}, errDate // 31 February
	}
	return t.Add(-d.zone), nil
}

// monthNamed knows the months of English by their first three letters, and those that
// differ in German, French, Spanish, Italian, Dutch and Portuguese; 0 for another word.
func monthNamed(w string) int {
	w = strings.TrimRight(w, ".")
	if r := []rune(w); len(r) >= 3 {
		return months[string(r[:3])]
	}
	return 0
}

var months = map[string]int{
	"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
	"mär": 3, "mrz": 3, "mrt": 3, "mai": 5, "okt": 10, "dez": 12,
	"fév": 2, "avr": 4, "aoû": 8, "déc": 12,
	"ene": 1, "abr": 4, "ago": 8, "dic": 12, "gen": 1, "mag": 5, "giu": 6, "lug": 7, "set": 9, "ott": 10, "mei": 5, "fev": 2, "out": 10,
}

// zones by name, where a name means one thing in mail. Military letters say nothing
// (RFC 5322, 4.3), nor do other names.
var zones = map[string]time.Duration{
	"ut": 0, "utc": 0, "gmt": 0, "z": 0, "wet": 0,
	"est": -5 * time.Hour, "edt": -4 * time.Hour, "cst": -6 * time.Hour, "cdt": -5 * time.Hour,
	"mst": -7 * time.Hour, "mdt": -6 * time.Hour, "pst": -8 * time.Hour, "pdt": -7 * time.Hour,
	"cet": time.Hour, "met": time.Hour, "mez": time.Hour, "cest": 2 * time.Hour, "mest": 2 * time.Hour, "mesz": 2 * time.Hour,
	"eet": 2 * time.Hour, "eest": 3 * time.Hour, "west": time.Hour, "bst": time.Hour, "msk": 3 * time.Hour, "jst": 9 * time.Hour, "kst": 9 * time.Hour,
}
