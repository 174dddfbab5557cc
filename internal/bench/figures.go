package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/load"
)

// figure is one of the figures that the library wants to reach.
type figure struct {
	work     string
	bar      string
	measured string // "" if it was not
	met      bool
	rows     string // what the peer of that name reaches, where it can be compared
}

// table shows all figures in Markdown.
func table(figures []figure) string {
	var t strings.Builder
	t.WriteString("| work | bar | measured | met | rows |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range figures {
		met := map[bool]string{true: "yes", false: "no"}[f.met]
		if f.measured == "" {
			f.measured, met = "–", "–"
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", f.work, f.bar, f.measured, met, f.rows)
	}
	return t.String()
}

func (b *bench) figures() []figure {
	const most, slow = 256, 20 * time.Millisecond
	stored := func(work, base string, callers int, unit string, least, most float64) figure {
		f := b.compare(work, storedName("ours", callers), storedName(base, callers), unit, least, most)
		_, f.rows = b.results.ratio(storedName("rows", callers), storedName(base, callers), unit)
		return f
	}
	accepted := func(work, base string, callers int, delay time.Duration, unit string, least, most float64) figure {
		return b.compare(work, acceptedName("ours", callers, delay), acceptedName(base, callers, delay), unit, least, most)
	}
	inf := math.Inf(1)
	figures := []figure{
		stored("marks/s, 256 callers, to the commit : the tutorial's select and update, nothing else", "inline", most, unitMarks, 3, inf),
		accepted("marks/s, 256 callers, publishing : inline with Pusher, stub 0 ms", "inline", most, 0, unitMarks, 3, inf),
		stored("marks/s, 256 callers : one full transaction per mark", "single", most, unitMarks, 8, inf),
		stored("p99 of a mark, 256 callers, to the commit : the tutorial's select and update", "inline", most, unitP99, 0, 1.0/3),
		accepted("p99 of a mark, 256 callers, publishing : inline with Pusher, stub 0 ms", "inline", most, 0, unitP99, 0, 1.0/3),
		stored("marks/s, 1 caller, to the commit : the tutorial's select and update", "inline", 1, unitMarks, 0.8, inf),
		accepted("marks/s, 1 caller, publishing : inline with Pusher, stub 0 ms", "inline", 1, 0, unitMarks, 0.8, inf),
		stored("marks/s, 256 callers : the raw driver's least statement", "floor", most, unitMarks, 0.7, inf),
		accepted("accepted events/s, stub 20 ms, 16 callers : inline", "inline", 16, slow, unitAccepted, 8, inf),
		accepted("accepted events/s, stub 20 ms, 256 callers : inline", "inline", most, slow, unitAccepted, 2.5, inf),
		accepted("accepted events/s, stub 20 ms, 256 callers : River", "river", most, slow, unitAccepted, 3, inf),
		accepted("accepted events/s, stub 20 ms, 256 callers : Watermill's forwarder", "watermill", most, slow, unitAccepted, 5, inf),
	}
	for _, delay := range stubDelays {
		figures = append(figures, b.wait(delay, 0.5, 2*time.Millisecond), b.wait(delay, 0.99, 10*time.Millisecond))
	}
	catchUp := fmt.Sprintf("catch-up of %d unread: ", b.unread)
	for _, part := range []struct {
		unit string
		most float64
	}{{unitRequests, 1}, {unitStmts, 4}, {unitAllEvents, 12}, {unitAllCalls, 2}} {
		figures = append(figures, b.limit(catchUp+part.unit, catchUpName("ours", slow), part.unit, 0, part.most))
	}
	for _, delay := range stubDelays {
		figures = append(figures, b.compare(fmt.Sprintf("%stime until all is accepted, the tutorial's way : ours, stub %v", catchUp, delay),
			catchUpName("inline", delay), catchUpName("ours", delay), unitDone, 100, inf))
	}
	for _, which := range []string{newestMessages, anyMessages} {
		f := b.compare(fmt.Sprintf("cost per mark with %s : %s messages, 256 callers, of %s messages", count(float64(b.huge)), count(float64(b.messages)), which),
			growthName("ours", b.messages, which, most), growthName("ours", b.huge, which, most), unitMarks, 0, 1.3)
		_, f.rows = b.results.ratio(growthName("rows", b.messages, which, most), growthName("rows", b.huge, which, most), unitMarks)
		figures = append(figures, f)
	}
	short, long := b.history[0], b.history[len(b.history)-1]
	return append(figures,
		b.compare(fmt.Sprintf("MarkUpTo, history of %s : %s", count(float64(long)), count(float64(short))), upToName(long), upToName(short), unitP50, 0, 1.3),
		b.late(),
		b.limit(fmt.Sprintf("group of %d, author's channel: events", b.members), groupName(authorChannel), unitAllEvents, 0, 120),
		b.limit(fmt.Sprintf("group of %d, shared channel: calls", b.members), groupName(sharedChannel), unitAllCalls, 0, 120),
	)
}

// judged is a figure that has to lie between two limits, one of which is none. It was not measured
// if shown is "".
func judged(work string, center float64, shown string, least, most float64, format func(float64) string) figure {
	bar := "≤ " + format(most)
	if math.IsInf(most, 1) {
		bar = "≥ " + format(least)
	}
	return figure{work: work, bar: bar, measured: shown, met: center >= least && center <= most}
}

// compare is a figure that is a ratio.
func (b *bench) compare(work, name, base, unit string, least, most float64) figure {
	center, shown := b.results.ratio(name, base, unit)
	return judged(work, center, shown, least, most, times)
}

// limit is a figure that is a number.
func (b *bench) limit(work, name, unit string, least, most float64) figure {
	center, shown := median(b.results.values[name][unit], count)
	return judged(work, center, shown, least, most, count)
}

// wait is a figure about how long a share q of the marks of an idle system waited to be accepted.
func (b *bench) wait(delay time.Duration, q float64, most time.Duration) figure {
	var center float64
	var shown string
	if waits := b.results.waits[idleName("ours", delay)]; len(waits) > 0 {
		center = load.Quantile(waits, q).Seconds()
		shown = seconds(center)
	}
	return judged(fmt.Sprintf("commit → accepted, idle, p%g, stub %v", 100*q, delay), center, shown, 0, (most + delay).Seconds(), seconds)
}

// late is the figure about members of a group who wait long.
func (b *bench) late() figure {
	var share float64
	var shown string
	if name := groupName(sharedChannel); len(b.results.waits[name]) > 0 {
		share = b.results.shareOver(name, groupLate)
		shown = percent(share)
	}
	return judged(fmt.Sprintf("group of %d acknowledging within 1 s: who waits over %v", b.members, groupLate), share, shown, 0, 0.01, percent)
}
