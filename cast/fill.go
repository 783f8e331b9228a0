package cast

import (
	"regexp"
	"strconv"
	"time"
)

// blanks are the dates that a text leaves open: {+7d}, {+7d weekday}, {+7d month}, {year},
// {year+1}. A demonstration next spring must not speak of a delivery last October.
var blanks = regexp.MustCompile(`\{(?:([+-]\d+)d(?: (weekday|month))?|year(\+1)?)\}`)

// fill puts dates into the blanks of a text, as seen from the day of the demonstration.
func (e *entry) fill(i issue, text string) string {
	return blanks.ReplaceAllStringFunc(text, func(blank string) string {
		part := blanks.FindStringSubmatch(blank)
		if part[1] == "" {
			year := i.clock.today.Year()
			if part[3] != "" {
				year++
			}
			return strconv.Itoa(year)
		}
		days, err := strconv.Atoi(part[1])
		if err != nil {
			panic("cast: " + e.place + ": " + err.Error()) // a number of absurd length
		}
		return e.dayName(ahead(i.clock.today, days), part[2])
	})
}

func (e *entry) dayName(day time.Time, what string) string {
	switch what {
	case "weekday":
		return day.Weekday().String()
	case "month":
		return day.Month().String()
	}
	return day.Format(e.language.words().day)
}
