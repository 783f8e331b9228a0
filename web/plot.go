package web

import "postern/store"

// A plot is a row of bars, one behind the other where there are two figures. It is drawn
// as SVG by the template: no script, and it prints.
type plot struct {
	Width, Height int
	Bars          []bar
	First, Last   string // what the ends of the axis say
	Empty         bool
}

type bar struct {
	X, Width            int
	BackY, BackHeight   int
	FrontY, FrontHeight int
	Label               string
}

const (
	plotHeight = 92
	barStep    = 10
	barWidth   = 7
)

// dayPlot shows what was seen behind what was filed.
func dayPlot(days []store.DayCount) plot {
	seen, filed, labels := make([]int, len(days)), make([]int, len(days)), make([]string, len(days))
	for i, d := range days {
		seen[i], filed[i] = d.Seen, d.Filed
		labels[i] = d.Day.UTC().Format("Mon 2 Jan") + ": " + number(d.Filed) + " filed of " + number(d.Seen) + " seen"
	}
	p := newPlot(seen, filed, labels)
	if n := len(days); n > 0 {
		p.First, p.Last = days[0].Day.UTC().Format("2 Jan"), days[n-1].Day.UTC().Format("2 Jan")
	}
	return p
}

// newPlot draws both rows on one scale. What is not zero is never drawn as nothing.
func newPlot(back, front []int, labels []string) plot {
	p := plot{Width: max(len(back)*barStep-(barStep-barWidth), 1), Height: plotHeight, Empty: true}
	top := 1
	for i := range back {
		top = max(top, back[i], front[i])
		p.Empty = p.Empty && back[i] == 0 && front[i] == 0
	}
	height := func(n int) int {
		if n == 0 {
			return 0
		}
		return max(n*plotHeight/top, 2)
	}
	for i := range back {
		b := bar{X: i * barStep, Width: barWidth, BackHeight: height(back[i]), FrontHeight: height(front[i]), Label: labels[i]}
		b.BackY, b.FrontY = plotHeight-b.BackHeight, plotHeight-b.FrontHeight
		p.Bars = append(p.Bars, b)
	}
	return p
}
