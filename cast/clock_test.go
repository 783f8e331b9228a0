package cast

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestLettersArriveAtWorkingHoursBeforeNow(t *testing.T) {
	leith, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{
		time.Date(2026, 11, 21, 12, 0, 0, 0, leith), // Saturday
		time.Date(2026, 11, 23, 6, 30, 0, 0, leith), // Monday before work
		time.Date(2026, 11, 23, 7, 0, 1, 0, leith),
		time.Date(2026, 11, 24, 9, 15, 0, 0, leith),
		time.Date(2026, 11, 24, 23, 59, 59, 0, leith),
		time.Date(2027, 3, 29, 11, 0, 0, 0, leith), // the day after summer time began
		time.Date(2027, 1, 1, 10, 0, 0, 0, time.FixedZone("", 9*3600)),
	} {
		list := Letters(now)
		last := list[0].When
		for _, l := range list {
			if !l.When.Before(now) || l.When.Before(last) {
				t.Errorf("at %v: a letter of %v after one of %v", now, l.When, last)
			}
			last = l.When
			if h := l.When.Hour(); weekend(l.When) || h < 7 || h >= 18 {
				t.Errorf("at %v: a letter was written at %v", now, l.When)
			}
		}
		if weeks := now.Sub(list[0].When).Hours() / 24 / 7; weeks < 19 || weeks > 21 {
			t.Errorf("at %v: the first letter is %.1f weeks old, want 20", now, weeks)
		}
		if age := now.Sub(last); age > 3*24*time.Hour {
			t.Errorf("at %v: the last letter is %v old", now, age)
		}
	}
}

func TestTodayIsSqueezedInOrder(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	c := newClock(now)
	for _, test := range []struct{ written, want string }{
		{"07:00", "07:00:00"}, {"12:30", "08:00:00"}, {"17:59", "08:59:49"},
	} {
		at, err := time.Parse("15:04", test.written)
		if err != nil {
			t.Fatal(err)
		}
		got := c.at(0, time.Duration(at.Hour())*time.Hour+time.Duration(at.Minute())*time.Minute)
		if got.Format("15:04:05") != test.want || got.Day() != 24 {
			t.Errorf("%s today at nine is %v, want %s", test.written, got, test.want)
		}
	}
	if got := c.at(-1, 14*time.Hour); !got.Equal(time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)) {
		t.Errorf("yesterday at two is %v", got)
	}
	if got := c.at(-2, 14*time.Hour); !got.Equal(time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)) {
		t.Errorf("two working days before Tuesday at two is %v, want Friday", got)
	}
}
