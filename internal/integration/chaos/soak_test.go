package chaos

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

var soak = flag.Duration("soak", 0, "how long TestSoak is to last")

// TestSoak is row M31: it lets nodes mark for long, at a rate that leaves time to rest, while nodes
// are killed, the endpoint is down and old snapshots are held in turn. What node 0, which lives
// through all of it, uses must not grow, and neither must the outbox.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		return
	}
	for _, e := range engines.All {
		if !slices.Contains(everyEngine, e.Name) {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			world := World{Conversations: 400, Messages: 50, Users: 50}
			r := newRun(t, "M31", e, Size{World: world, Nodes: 3}, seedOf(t), nil)
			r.Full = true
			soakFor(r, *soak)
		})
	}
}

func soakFor(r *Run, d time.Duration) {
	r.Node.Markers, r.Node.Pause = 2, 85*time.Millisecond // some 500 marks a second from three nodes
	r.start()
	turn := d / 60
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	var samples []sample
	ticker := time.NewTicker(turn / 6)
	defer ticker.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		switch {
		case i%6 != 0:
		case i/6%3 == 0:
			victim := 1 + r.random.IntN(r.Nodes-1)
			r.killNode(victim)
			r.startNode(victim, nil)
		case i/6%3 == 1:
			r.sink.become(Weather{Fail: 1})
			time.AfterFunc(turn/3, func() { r.sink.become(Weather{}) })
		case i/6%3 == 2:
			release := r.snapshot()
			time.AfterFunc(turn, release)
		}
		<-ticker.C
		r.check(0)
		samples = append(samples, r.sample())
	}
	time.Sleep(turn) // until the last harm has passed
	r.quiet()
	r.settle()
	r.figure("kills=%d", r.kills)
	r.expectKept(r.verdict(), 0)

	// Each figure once it has settled, and in the end.
	n := len(samples)
	early, late := samples[n/6:n/3], samples[n-n/6:]
	for i, figure := range samples[0] {
		was, is := median(early, i), median(late, i)
		r.Logf("%s: %d, and in the end %d", figure.name, was, is)
		if is > was+was/4+figure.slack {
			r.Errorf("%s grew from %d to %d", figure.name, was, is)
		}
	}
}

// sample is what is in use at a moment.
type sample []figure

type figure struct {
	name  string
	value int
	slack int // that it may grow by, besides a quarter
}

// sample looks at node 0, and at the outbox.
func (r *Run) sample() sample {
	p := r.nodes[0]
	proc := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		r.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		r.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	resident, _ := strconv.Atoi(strings.Fields(string(rest))[0])
	s := sample{
		{"resident KiB", resident, 4 << 10},
		{"goroutines", int(p.goroutines.Load()), 10},
		{"open files", len(files), 10},
		{"events waiting", r.waiting(), 1_000},
	}
	if query, ok := outboxSizes[r.Engine.Kind]; ok {
		var size int
		if err := r.db.QueryRowContext(r.Context(), query).Scan(&size); err != nil {
			r.Fatal(err)
		}
		s = append(s, figure{"outbox KiB", size >> 10, 8 << 10})
	}
	return s
}

// outboxSizes ask for the bytes that the outbox takes with its indexes. SQLite shares pages among
// tables.
var outboxSizes = map[engines.Kind]string{
	engines.Postgres: `SELECT pg_total_relation_size('delivery_outbox')`,
	engines.MySQL: `
SELECT data_length + index_length FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'delivery_outbox'`,
}

func median(samples []sample, i int) int {
	values := make([]int, len(samples))
	for k, s := range samples {
		values[k] = s[i].value
	}
	slices.Sort(values)
	return values[len(values)/2]
}
