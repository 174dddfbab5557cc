package main

import (
	"fmt"
	"math"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/report"
)

// figure is one of the figures that the library wants to reach.
type figure struct {
	work     string
	bar      string
	measured string // "" if it was not
	met      bool
	rows     string // what the peer of that name reaches, where it can be compared
}

// figuresTable shows all figures to reach.
func (b *bench) figuresTable() *report.Table {
	t := report.NewTable("work", "bar", "measured", "met", "rows")
	for _, f := range b.figures() {
		met := "no"
		switch {
		case f.measured == "":
			f.measured, met = "–", "–"
		case f.met:
			met = "yes"
		}
		t.Row(f.work, f.bar, f.measured, met, f.rows)
	}
	return t
}

func (b *bench) figures() []figure {
	const most, slow = 256, 20 * time.Millisecond
	stored := func(work, base string, callers int, unit string, from, to float64) figure {
		f := b.compare(work, storedName("ours", callers), storedName(base, callers), unit, from, to)
		f.rows = b.ratio(storedName("rows", callers), storedName(base, callers), unit)
		return f
	}
	accepted := func(work, base string, callers int, delay time.Duration, unit string, least float64) figure {
		return b.compare(work, acceptedName("ours", callers, delay), acceptedName(base, callers, delay), unit, least, math.Inf(1))
	}
	figures := []figure{
		stored("marks/s, 256 callers, to the commit : the tutorial's select and update, nothing else", "inline", most, unitMarks, 3, math.Inf(1)),
		accepted("marks/s, 256 callers, publishing : inline with Pusher, stub 0 ms", "inline", most, 0, unitMarks, 3),
		stored("marks/s, 256 callers : one full transaction per mark", "single", most, unitMarks, 8, math.Inf(1)),
		stored("p99 of a mark, 256 callers, to the commit : the tutorial's select and update", "inline", most, unitP99, 0, 1.0/3),
		b.compare("p99 of a mark, 256 callers, publishing : inline with Pusher, stub 0 ms",
			acceptedName("ours", most, 0), acceptedName("inline", most, 0), unitP99, 0, 1.0/3),
		stored("marks/s, 1 caller, to the commit : the tutorial's select and update", "inline", 1, unitMarks, 0.8, math.Inf(1)),
		accepted("marks/s, 1 caller, publishing : inline with Pusher, stub 0 ms", "inline", 1, 0, unitMarks, 0.8),
		stored("marks/s, 256 callers : the raw driver's least statement", "floor", most, unitMarks, 0.7, math.Inf(1)),
		accepted("accepted events/s, stub 20 ms, 16 callers : inline", "inline", 16, slow, unitAccepted, 8),
		accepted("accepted events/s, stub 20 ms, 256 callers : inline", "inline", most, slow, unitAccepted, 2.5),
		accepted("accepted events/s, stub 20 ms, 256 callers : River", "river", most, slow, unitAccepted, 3),
		accepted("accepted events/s, stub 20 ms, 256 callers : Watermill's forwarder", "watermill", most, slow, unitAccepted, 5),
	}
	for _, delay := range stubDelays {
		figures = append(figures,
			b.waits("commit → accepted, idle", delay, 0.5, 2*time.Millisecond),
			b.waits("commit → accepted, idle", delay, 0.99, 10*time.Millisecond))
	}
	catchUp := fmt.Sprintf("catch-up of %d unread: ", b.unread)
	for _, part := range []struct {
		unit string
		most float64
	}{{unitRequests, 1}, {unitStmts, 4}, {unitAllEvents, 12}, {unitAllCalls, 2}} {
		figures = append(figures, b.limit(catchUp+part.unit, catchUpName("ours", slow), part.unit, 0, part.most, report.Count))
	}
	for _, delay := range stubDelays {
		figures = append(figures, b.compare(fmt.Sprintf("%stime until all is accepted, the tutorial's way : ours, stub %s", catchUp, report.Duration(delay)),
			catchUpName("inline", delay), catchUpName("ours", delay), unitDone, 100, math.Inf(1)))
	}
	figures = append(figures, b.limit("HTTP marks/s through examples/tutorial, 16 connections", tutorialName, unitMarks, 10_000, math.Inf(1), report.Count))
	if b.huge > 0 {
		for _, store := range []string{growthPostgres, growthMemory} {
			for _, which := range []string{newestMessages, anyMessages} {
				work := fmt.Sprintf("cost per mark with %s : %s messages, 256 callers, %s, of %s messages", report.Count(float64(b.huge)), report.Count(float64(b.messages)), store, which)
				f := b.compare(work, growthName(store, b.messages, which, 256), growthName(store, b.huge, which, 256), unitMarks, 0, 1.3)
				if store == growthPostgres {
					f.rows = b.ratio(growthName(growthRows, b.messages, which, 256), growthName(growthRows, b.huge, which, 256), unitMarks)
				}
				figures = append(figures, f)
			}
		}
	}
	for _, store := range []string{"postgres", "memory"} {
		short, long := b.history[0], b.history[len(b.history)-1]
		work := fmt.Sprintf("MarkUpTo, %s, history of %s : %s", store, report.Count(float64(long)), report.Count(float64(short)))
		figures = append(figures, b.compare(work, upToName(store, long), upToName(store, short), unitP50, 0, 1.3))
	}
	return append(figures,
		b.late(),
		b.limit(fmt.Sprintf("group of %d, author's channel: events", b.members), groupName(authorChannel), unitAllEvents, 0, 120, report.Count),
		b.limit(fmt.Sprintf("group of %d, shared channel: calls", b.members), groupName(sharedChannel), unitAllCalls, 0, 120, report.Count),
	)
}

// bound shows what is between two limits, one of which is none.
func bound(least, most float64, format report.Format) string {
	if math.IsInf(most, 1) {
		return "≥ " + format(least)
	}
	return "≤ " + format(most)
}

// compare is a figure that is a ratio.
func (b *bench) compare(work, name, base, unit string, least, most float64) figure {
	f := figure{work: work, bar: bound(least, most, report.Times)}
	if r := b.log.Ratio(name, base, unit); len(r.Rounds) > 0 {
		f.measured, f.met = r.String()+" "+r.P(), r.Median() >= least && r.Median() <= most
	}
	return f
}

// ratio shows a ratio, or nothing if it was not measured.
func (b *bench) ratio(name, base, unit string) string {
	if r := b.log.Ratio(name, base, unit); len(r.Rounds) > 0 {
		return r.String()
	}
	return ""
}

// limit is a figure that is a number.
func (b *bench) limit(work, name, unit string, least, most float64, format report.Format) figure {
	f := figure{work: work, bar: bound(least, most, format)}
	if s, ok := report.Summary(b.log.Values(name, unit)); ok {
		f.measured, f.met = b.log.Median(name, unit, format), s.Center >= least && s.Center <= most
	}
	return f
}

// waits is a figure about how long a share of all marks waited to be accepted.
func (b *bench) waits(work string, delay time.Duration, q float64, most time.Duration) figure {
	f := figure{
		work: fmt.Sprintf("%s, p%g, stub %s", work, 100*q, report.Duration(delay)),
		bar:  "≤ " + report.Duration(most+delay),
	}
	if wait, ok := b.log.Wait(idleName("ours", delay), q); ok {
		f.measured, f.met = report.Duration(wait), wait <= most+delay
	}
	return f
}

// late is the figure about members of a group who wait long.
func (b *bench) late() figure {
	f := figure{work: fmt.Sprintf("group of %d acknowledging within 1 s: who waits over %s", b.members, report.Duration(groupLate)), bar: "≤ 1 %"}
	if _, ok := b.log.Wait(groupName(sharedChannel), 0.5); ok {
		share := b.log.ShareOver(groupName(sharedChannel), groupLate)
		f.measured, f.met = report.Percent(share), share <= 0.01
	}
	return f
}
