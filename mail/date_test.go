package mail

import (
	"testing"
	"time"
)

func TestDatesInAllTheirForms(t *testing.T) {
	want := time.Date(2026, 11, 21, 18, 5, 9, 0, time.UTC)
	same := []string{
		"Sat, 21 Nov 2026 18:05:09 +0000",
		"Sat, 21 Nov 2026 19:05:09 +0100",
		"Sat, 21 Nov 2026 19:05:09 +0100 (CET)",
		"Sat,21 Nov 2026 13:05:09 -0500 (EST)",
		"21 Nov 2026 18:05:09 GMT",
		"Sat, 21 Nov 26 18:05:09 UT",
		"Sat, 21 Nov 2026 13:05:09 EST",
		"Sat, 21 Nov 2026 10:05:09 PST",
		"Sat, 21 Nov 2026 19:05:09 +01:00",
		"Sat, 21 Nov 2026 19:05:09 GMT+0100",
		"Sat, 21 Nov 2026 20:05:09 +0200",
		"Sat, 21 Nov 2026 23:35:09 +0530",
		"Sat Nov 21 18:05:09 2026",
		"Sat Nov 21 18:05:09 GMT 2026",
		"Saturday, 21-Nov-26 18:05:09 GMT",
		"Sat, 21-Nov-2026 18:05:09 GMT",
		"2026-11-21T18:05:09Z",
		"2026-11-21T19:05:09+01:00",
		"2026-11-21T18:05:09.123Z",
		"2026-11-21 18:05:09",
		"2026-11-21 19:05:09 +0100",
		"Sat, 21 Nov 2026 18:05:09.882 0000",
		"Sat, 21 Nov 2026 06:05:09 PM",
		"November 21, 2026 18:05:09",
		"Sa, 21 Nov 2026 19:05:09 MEZ",
		"Samstag, 21. November 2026 18:05:09",
		"21.11.2026 18:05:09",
		"sam., 21 nov. 2026 18:05:09 +0000",
		"  Sat,\r\n 21 Nov 2026 18:05:09 +0000",
		"Sat, (really) 21 Nov 2026 18:05:09 -0000",
	}
	for _, in := range same {
		if got, err := ParseDate(in); err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("ParseDate(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	others := []struct {
		in   string
		want time.Time
	}{
		{"Fri, 25 Jul 97 06:59 -0500", time.Date(1997, 7, 25, 11, 59, 0, 0, time.UTC)},
		{"Mon, 21 Aug 95 13:30:57 -600", time.Date(1995, 8, 21, 19, 30, 57, 0, time.UTC)},
		{"Tue, 04 Jun 0102 21:41:59 +1000", time.Date(2002, 6, 4, 11, 41, 59, 0, time.UTC)},
		{"Tue, 4 Jun 102 21:41:59 +0000", time.Date(2002, 6, 4, 21, 41, 59, 0, time.UTC)},
		{"1 Jan 2026", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"31 Dec 2026 23:59:60 +0000", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"29 Feb 2024 12:00 +0000", time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)},
		{"Di, 3 Mär 2026 12:00 +0100", time.Date(2026, 3, 3, 11, 0, 0, 0, time.UTC)},
	}
	for _, tt := range others {
		if got, err := ParseDate(tt.in); err != nil || !got.Equal(tt.want) {
			t.Errorf("ParseDate(%q) = %v, %v, want %v", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", "Whenever", "Malformed Date.", "0", "18:05", "0+0:", "32 Nov 2026 12:00", "31 Feb 2026 12:00", "Mon, 1 Jan 1601 00:00:00 GMT",
		"Wed, 1 Jan 4501 00:00:00 GMT", "11/12/2026 12:00", "21 Foo 2026 12:00", string(make([]byte, 600))} {
		if got, err := ParseDate(in); err == nil {
			t.Errorf("ParseDate(%.40q) = %v, want an error", in, got)
		}
	}
}
