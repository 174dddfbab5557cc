package chaos

import (
	"context"
	"net/http"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// These scenarios harm the endpoint.
var endpointScenarios = []Scenario{
	{
		Row: "M9", Name: "the endpoint is down", Engines: everyEngine,
		Size: Size{World: wide, Marks: 2_000, Nodes: 3},
		Full: always(Size{World: World{Conversations: 2_000, Messages: 20, Users: 20}, Marks: 100_000, Nodes: 3}),
		Run:  outage,
	},
	{
		Row: "M10", Name: "the endpoint fails now and then, and nodes are killed", Engines: everyEngine,
		Size: Size{World: small, Marks: 4_000, Nodes: 3, Times: 4},
		Full: always(Size{World: large, Marks: 300_000, Nodes: 3, Times: 50}),
		Run: func(r *Run) {
			r.sink.become(Weather{Fail: 0.1, CutAfter: 0.03})
			killNodes(r)
			r.expectKept(r.verdict(), 0)
		},
	},
	{
		Row: "M11", Name: "the endpoint asks for a pause", Engines: []string{"postgres-pgx"},
		Size: Size{World: wide, Marks: 100, Nodes: 1},
		Run:  pauses,
	},
	{
		Row: "M12", Name: "the endpoint hangs", Engines: []string{"postgres-pgx"},
		Size: Size{World: small, Marks: 1_000, Nodes: 2},
		Full: always(Size{World: large, Marks: 100_000, Nodes: 3}),
		Run: func(r *Run) {
			r.start()
			for i, fault := range []pushertest.Fault{pushertest.Hang, dripping, endless} {
				r.sink.become(Weather{Fail: 0.3, Fault: fault})
				r.untilMarks((i + 1) * r.Marks / 3)
				time.Sleep(time.Second)
			}
			r.sink.become(Weather{})
			r.quiet()
			r.settle()
			r.figure("longest_call=%v", r.sink.slowest().Round(time.Millisecond))
			v := r.verdict()
			r.expectKept(v, 0)
			r.within("a call was given up", r.sink.slowest(), r.Node.Lease/3+lenience)
			if v.Heap > 64<<20 {
				r.Errorf("the heap grew to %d MiB", v.Heap>>20)
			}
		},
	},
	{
		Row: "M13", Name: "the endpoint refuses one of ten events, as a bad one", Engines: []string{"mysql"},
		Size: Size{World: World{Conversations: 20, Messages: 10, Users: 20, Poison: 20}, Marks: 1_000, Nodes: 2},
		Run:  func(r *Run) { refuse(r, http.StatusBadRequest) },
	},
	{
		Row: "M13", Name: "the endpoint refuses one of ten events, as too large", Engines: []string{"sqlite"},
		Size: Size{World: World{Conversations: 20, Messages: 10, Users: 20, Poison: 20}, Marks: 1_000, Nodes: 2},
		Run:  func(r *Run) { refuse(r, http.StatusRequestEntityTooLarge) },
	},
	{
		Row: "M14", Name: "poison before good events", Engines: everyEngine,
		Size: Size{World: World{Conversations: 50, Messages: 20, Users: 10, Poison: 50}, Nodes: 1},
		Full: always(Size{World: World{Conversations: 500, Messages: 20, Users: 10, Poison: 500}, Nodes: 1}),
		Run:  poisonFirst,
	},
	{
		Row: "M15", Name: "the endpoint takes our credentials for wrong", Engines: []string{"postgres-pgx"},
		Size: Size{World: small, Marks: 2_000, Nodes: 2},
		Full: always(Size{World: large, Marks: 100_000, Nodes: 3}),
		Run: func(r *Run) {
			r.Node.Pause = 2 * time.Millisecond
			r.start()
			r.untilMarks(r.Marks / 2)
			r.sink.become(Weather{Fail: 1, Fault: pushertest.Status(http.StatusUnauthorized, "")})
			r.untilMarks(r.Marks)
			if r.Full {
				time.Sleep(5 * time.Minute)
			}
			r.sink.become(Weather{})
			r.quiet()
			r.settle()
			r.expectKept(r.verdict(), 0)
		},
	},
}

// outage has the endpoint fail until the backlog is as large as the size says, and measures how
// fast it drains.
func outage(r *Run) {
	r.Node.Spread = r.Node.Batch // an event for each mark
	r.start()
	r.untilMarks(r.Marks / 10)
	r.sink.become(Weather{Fail: 1})
	before, began := r.sink.calls.Load(), time.Now()
	r.until("the backlog", func() bool {
		time.Sleep(100 * time.Millisecond)
		return r.waiting() >= r.Marks
	})
	r.quiet()
	lasts := 3 * time.Second
	if r.Full {
		lasts = 10 * time.Minute
	}
	time.Sleep(lasts - time.Since(began))
	calls, lasted := int(r.sink.calls.Load()-before), time.Since(began)
	backlog := r.waiting()
	accepted := r.sink.accepted.Load()

	r.note("the endpoint is well")
	r.sink.become(Weather{})
	healed := time.Now()
	r.until("the first event after the outage", func() bool { return r.sink.accepted.Load() > accepted })
	first := time.Now()
	r.settle()
	drained := time.Since(healed)
	// The rate is that of the most part: some events rest for as long as the last pause of the
	// breaker that they met.
	most := backlog * 9 / 10
	rate := float64(most) / r.sink.timeOf(int(accepted)+most).Sub(first).Seconds()
	r.figure("outage=%v calls=%d backlog=%d first_after=%v drained_after=%v rate=%.0f/s", lasted.Round(time.Second), calls, backlog,
		first.Sub(healed).Round(time.Millisecond), drained.Round(time.Millisecond), rate)
	r.expectKept(r.verdict(), 0)

	// A node has some calls under way until its breaker opens, and then makes one per pause, of
	// which the first few are short.
	if limit := r.Nodes * (2*publishers + 10 + int(lasted/(5*time.Second))); calls > limit {
		r.Errorf("%d calls during the outage, want at most %d", calls, limit)
	}
	if r.Full && rate < 5_000 {
		r.Errorf("the backlog drained at %.0f events a second", rate)
	}
}

// pauses has the endpoint ask for pauses, and sees that they are kept.
func pauses(r *Run) {
	r.Node.Markers, r.Node.Pause, r.Node.Calls = 1, 20*time.Millisecond, 1 // so that a call comes after the answer to the one before
	r.start()
	for i, form := range []struct {
		retryAfter func() string
		atLeast    time.Duration
	}{
		{inSeconds(3), 3 * time.Second},
		{inDate(4), 3 * time.Second},
		{func() string { return "-5" }, 0},
		{func() string { return "soon" }, 0},
	} {
		r.untilMarks((i + 1) * r.Marks / 4)
		weather := r.sink.become(Weather{Fail: 1, Fault: tooMany(form.retryAfter)})
		r.until("two calls", func() bool { return len(r.sink.met(weather)) > 1 })
		calls := r.sink.met(weather)
		pause := calls[1].Sub(calls[0])
		r.figure("pause=%v", pause.Round(time.Millisecond))
		if pause < form.atLeast {
			r.Errorf("the endpoint asked for a pause by %q, and got one of %v", form.retryAfter(), pause)
		}
		r.sink.become(Weather{})
	}
	finish(r)
}

// refuse has the endpoint refuse poison with a status.
func refuse(r *Run, status int) {
	r.sink.become(Weather{Poison: status})
	r.start()
	r.untilMarks(r.Marks)
	r.quiet()
	r.settle()
	r.expectKept(r.verdict(), r.World.Poison)
}

// poisonFirst has a node publish good events behind bad ones, and then replays these.
func poisonFirst(r *Run) {
	var alone time.Duration
	if r.Full {
		size := r.Size
		size.World.Poison = 0
		other := newRun(r, r.Row, r.Engine, size, r.Seed, nil)
		alone = publishGood(other)
		other.settle()
	}
	r.sink.become(Weather{Poison: http.StatusBadRequest})
	took := publishGood(r)
	r.figure("good=%d in %v", r.World.Conversations*r.World.Messages, took.Round(time.Millisecond))
	if r.Full {
		r.figure("without_poison=%v", alone.Round(time.Millisecond))
		if took > alone*11/10 {
			r.Errorf("poison delayed the good events from %v to %v", alone, took)
		}
	}

	tracker, err := delivery.New(r.store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
	if err != nil {
		r.Fatal(err)
	}
	var ids []int64
	r.until("the dead letters", func() bool {
		ids = nil
		for after := int64(0); ; after = ids[len(ids)-1] {
			dead, err := tracker.DeadLetters(r.Context(), delivery.DeadQuery{After: after, Limit: delivery.MaxBatch})
			if err != nil {
				r.Fatal(err)
			}
			if len(dead) == 0 {
				return len(ids) == r.World.Poison
			}
			for _, d := range dead {
				ids = append(ids, d.Event.ID)
			}
		}
	})
	r.figure("dead_then=%d", len(ids))
	if r.waiting() > 0 {
		r.Errorf("%d events are waiting, and should be dead letters or accepted", r.waiting())
	}
	r.sink.become(Weather{})
	if err := tracker.Replay(r.Context(), ids...); err != nil {
		r.Error(err)
	}
	r.settle()
	r.expectKept(r.verdict(), 0)
}

// publishGood starts a node that only publishes, and returns how long it takes from its first event
// to the last good one.
func publishGood(r *Run) time.Duration {
	r.Node.Markers = 0
	r.start()
	good := r.World.Conversations * r.World.Messages
	r.until("the good events", func() bool { return int(r.sink.accepted.Load()) == good })
	return r.sink.timeOf(good).Sub(r.sink.timeOf(1))
}
