package cast

import "time"

// The working day. Letters of today are squeezed into the part of it that has passed.
const (
	opening = 7 * time.Hour
	closing = 18 * time.Hour
)

// clock turns "twelve working days ago at 14:07" into a time.
type clock struct {
	today  time.Time     // midnight of the last working day that has begun
	passed time.Duration // since that midnight
}

func newClock(now time.Time) clock {
	today := midnight(now, 0)
	if weekend(today) || now.Sub(today) <= opening {
		today = ahead(today, -1)
	}
	return clock{today, now.Sub(today)}
}

// at returns the time of day on the working day so many days from today.
func (c clock) at(days int, timeOfDay time.Duration) time.Time {
	if days == 0 && c.passed < closing {
		timeOfDay = opening + time.Duration(float64(timeOfDay-opening)*float64(c.passed-opening)/float64(closing-opening))
	}
	day := ahead(c.today, days)
	// Not day.Add: on the day when summer time begins, nine o'clock is eight hours after midnight.
	return time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, int(timeOfDay), day.Location()).Truncate(time.Second)
}

// ahead walks so many working days forward, or back when negative.
func ahead(day time.Time, days int) time.Time {
	step := 1
	if days < 0 {
		step, days = -1, -days
	}
	for days > 0 {
		day = midnight(day, step)
		if !weekend(day) {
			days--
		}
	}
	return day
}

func midnight(t time.Time, days int) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day()+days, 0, 0, 0, 0, t.Location())
}

func weekend(t time.Time) bool {
	return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday
}
