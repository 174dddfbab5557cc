package main

import (
	"fmt"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/report"
)

var (
	storedPeers   = []string{"inline", "single", "floor", "rows", "ours", "ours-mariadb", "ours-sqlite"}
	acceptedPeers = []string{"inline", "river", "watermill", "ours", "ours-mariadb", "ours-sqlite"}
)

// column is a unit that a table shows.
type column struct {
	head   string
	unit   string
	format report.Format
}

// table shows the columns of names, which come with the cells that tell what they are. Names that
// were not measured are left out.
func (b *bench) table(t *report.Table, columns []column, name string, cells ...string) {
	measured := false
	for _, c := range columns {
		measured = measured || len(b.log.Values(name, c.unit)) > 0
		cells = append(cells, b.log.Median(name, c.unit, c.format))
	}
	if measured {
		t.Row(cells...)
	}
}

func newTable(columns []column, heads ...string) *report.Table {
	for _, c := range columns {
		heads = append(heads, c.head)
	}
	return report.NewTable(heads...)
}

func (b *bench) storedTable() *report.Table {
	columns := []column{
		{"marks/s", unitMarks, report.Count}, {"p50", unitP50, report.Seconds}, {"p99", unitP99, report.Seconds},
		{"statements per mark", unitStatements, report.Count}, {"client CPU", unitClient, report.Seconds},
		{"server CPU", unitServer, report.Seconds}, {"WAL bytes", unitWAL, report.Count},
	}
	t := newTable(columns, "peer", "callers")
	for _, callers := range callerCounts {
		for _, p := range storedPeers {
			b.table(t, columns, storedName(p, callers), p, fmt.Sprint(callers))
		}
	}
	return t
}

func (b *bench) acceptedTable(delay time.Duration) *report.Table {
	columns := []column{
		{"marks/s", unitMarks, report.Count}, {"accepted/s", unitAccepted, report.Count}, {"p50", unitP50, report.Seconds},
		{"p99", unitP99, report.Seconds}, {"calls per mark", unitCalls, report.Count}, {"events per mark", unitEvents, report.Count},
		{"client CPU", unitClient, report.Seconds}, {"server CPU", unitServer, report.Seconds}, {"WAL bytes", unitWAL, report.Count},
	}
	t := newTable(columns, "peer", "callers")
	for _, callers := range callerCounts {
		for _, p := range acceptedPeers {
			b.table(t, columns, acceptedName(p, callers, delay), p, fmt.Sprint(callers))
		}
	}
	return t
}

func (b *bench) idleTable() *report.Table {
	t := report.NewTable("peer", "stub", "p50", "p99")
	for _, delay := range stubDelays {
		for _, p := range acceptedPeers {
			name := idleName(p, delay)
			if p50, ok := b.log.Wait(name, 0.5); ok {
				p99, _ := b.log.Wait(name, 0.99)
				t.Row(p, report.Duration(delay), report.Duration(p50), report.Duration(p99))
			}
		}
	}
	return t
}

func (b *bench) catchUpTable() *report.Table {
	columns := []column{
		{"HTTP requests", unitRequests, report.Count}, {"statements", unitStmts, report.Count}, {"Pusher events", unitAllEvents, report.Count},
		{"Pusher calls", unitAllCalls, report.Count}, {"answered after", unitAnswered, report.Seconds}, {"accepted after", unitDone, report.Seconds},
	}
	t := newTable(columns, "way", "stub")
	for _, delay := range stubDelays {
		for _, p := range []string{"inline", "ours"} {
			b.table(t, columns, catchUpName(p, delay), p, report.Duration(delay))
		}
	}
	return t
}

func (b *bench) tutorialTable() *report.Table {
	columns := []column{
		{"marks/s", unitMarks, report.Count}, {"p50", unitP50, report.Seconds}, {"p99", unitP99, report.Seconds},
		{"accepted/s", unitAccepted, report.Count}, {"load generator CPU", unitClient, report.Seconds}, {"server CPU", unitServer, report.Seconds},
	}
	t := newTable(columns, "connections")
	b.table(t, columns, tutorialName, fmt.Sprint(tutorialConns))
	return t
}

func (b *bench) growthTable() *report.Table {
	columns := []column{
		{"marks/s", unitMarks, report.Count}, {"p99", unitP99, report.Seconds}, {"client CPU", unitClient, report.Seconds}, {"server CPU", unitServer, report.Seconds},
	}
	t := newTable(columns, "store", "marks of", "callers", "messages")
	for _, store := range []string{growthPostgres, growthRows, growthMemory} {
		for _, which := range []string{newestMessages, anyMessages} {
			for _, callers := range growthCallers {
				for _, messages := range []int{b.messages, b.huge} {
					b.table(t, columns, growthName(store, messages, which, callers), store, which, fmt.Sprint(callers), report.Count(float64(messages)))
				}
			}
		}
	}
	return t
}

func (b *bench) upToTable() *report.Table {
	columns := []column{{fmt.Sprintf("MarkUpTo of %d new", upToNew), unitP50, report.Seconds}}
	t := newTable(columns, "store", "messages before")
	for _, store := range []string{"postgres", "memory"} {
		for _, history := range b.history {
			b.table(t, columns, upToName(store, history), store, report.Count(float64(history)))
		}
	}
	return t
}

func (b *bench) groupTable() *report.Table {
	t := report.NewTable("channel", "wait p50", "p99", "over "+report.Duration(groupLate), "Pusher events", "Pusher calls", "all accepted after")
	for _, channel := range []string{sharedChannel, authorChannel} {
		name := groupName(channel)
		if p50, ok := b.log.Wait(name, 0.5); ok {
			p99, _ := b.log.Wait(name, 0.99)
			t.Row(channel, report.Duration(p50), report.Duration(p99), report.Percent(b.log.ShareOver(name, groupLate)),
				b.log.Median(name, unitAllEvents, report.Count), b.log.Median(name, unitAllCalls, report.Count), b.log.Median(name, unitDone, report.Seconds))
		}
	}
	return t
}
