package chaos

import (
	"slices"
	"strings"
	"syscall"
	"time"
)

// These scenarios harm the nodes.
var processScenarios = []Scenario{
	{
		Row: "M1", Name: "nodes are killed", Engines: everyEngine,
		Size: Size{World: small, Marks: 12_000, Nodes: 3, Times: 5},
		Full: func(engine string) Size {
			size := Size{World: large, Marks: 300_000, Nodes: 3, Times: 50}
			switch engine {
			case "sqlite":
				size.Times = 20
			case "postgres-pgx":
				size.Marks = 1_000_000
			}
			return size
		},
		Run: func(r *Run) {
			killNodes(r)
			v := r.verdict()
			r.expectKept(v, 0)
			if v.Failures > 0 {
				r.Errorf("%d calls failed: %v", v.Failures, v.failures)
			}
			if v.Duplicates.Count > 2_000 {
				r.Errorf("%d duplicates", v.Duplicates.Count)
			}
		},
	},
	{
		Row: "M2", Name: "nodes kill themselves at chosen points", Engines: everyEngine,
		Size: Size{World: small, Nodes: 2, Times: 1},
		Full: always(Size{World: large, Nodes: 2, Times: 200}),
		Run:  killPointwise,
	},
	{
		Row: "M3", Name: "nodes are paused beyond their leases", Engines: everyEngine,
		Size: Size{World: small, Nodes: 2, Times: 3},
		Full: always(Size{World: large, Nodes: 2, Times: 200}),
		Run: func(r *Run) {
			r.Node.Lease, r.Node.Pause = time.Second, 2*time.Millisecond
			r.start()
			for i := range r.Times {
				r.untilMarks(r.acknowledged() + 100)
				p := r.nodes[i%r.Nodes]
				p.signal(syscall.SIGSTOP)
				time.Sleep(r.Node.Lease * 3 / 2)
				p.signal(syscall.SIGCONT)
			}
			r.quiet()
			r.settle()
			v := r.verdict()
			r.expectKept(v, 0)
			if r.Full && v.LeaseLost == 0 {
				r.Error("no lease was lost")
			}
		},
	},
	{
		Row: "M21", Name: "clocks of nodes are wrong", Engines: everyEngine,
		Size: Size{World: small, Marks: 1_500, Nodes: 3},
		Full: always(Size{World: large, Marks: 100_000, Nodes: 3}),
		Run: func(r *Run) {
			for i, skew := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
				r.startNode(i, func(c *NodeConfig) { c.Skew = skew })
			}
			r.untilMarks(r.Marks)
			r.quiet()
			r.settle()
			r.expectKept(r.verdict(), 0)
		},
	},
	{
		Row: "M23", Name: "nodes come and go", Timed: true, Engines: everyEngine,
		Size: Size{World: small, Marks: 3_000, Nodes: 3},
		Full: always(Size{World: large, Marks: 100_000, Nodes: 3}),
		Run: func(r *Run) {
			r.start()
			r.untilMarks(r.Marks / 3)
			for i := range 3 {
				r.startNode(r.Nodes+i, nil)
			}
			r.untilMarks(2 * r.Marks / 3)
			for _, p := range r.nodes[1:] {
				if _, err := p.stop(); err != nil {
					r.Error(err)
				}
			}
			r.untilMarks(r.Marks)
			r.quiet()
			r.settle()
			v := r.verdict()
			r.expectKept(v, 0)
			r.within("a relay ended", v.Stop, r.Node.Lease+lenience)
		},
	},
	{
		Row: "M24", Name: "a node ends with a full queue", Engines: everyEngine,
		Size: Size{World: small, Nodes: 1},
		Full: always(Size{World: World{Conversations: 200, Messages: 50, Users: 20}, Nodes: 1}),
		Run:  endWithQueue,
	},
	{
		Row: "M25", Name: "store and notifier panic", Engines: everyEngine,
		Size: Size{World: World{Conversations: 40, Messages: 20, Users: 40, Poison: 3}, Marks: 1_500, Nodes: 2},
		Full: always(Size{World: World{Conversations: 200, Messages: 50, Users: 50, Poison: 20}, Marks: 100_000, Nodes: 3}),
		Run: func(r *Run) {
			r.Node.Harm = panicking
			r.start()
			r.untilMarks(r.Marks)
			r.quiet()
			r.settle()
			v := r.verdict()
			r.expectKept(v, r.World.Poison)
			if v.Failures == 0 {
				r.Error("no call failed")
			}
		},
	},
}

// killNodes kills nodes while they mark. On SQLite one of them marks, and the others stand by.
func killNodes(r *Run) {
	standby := func(c *NodeConfig) {
		if r.Engine.Name == "sqlite" && c.Index > 0 {
			c.Markers = 0
		}
	}
	if r.Engine.Name == "sqlite" {
		r.Nodes = 2
		if !r.Full {
			r.Marks, r.Times = r.Marks/4, 3
		}
	}
	for i := range r.Nodes {
		r.startNode(i, standby)
	}
	r.each(func(int) {
		victim := r.random.IntN(r.Nodes)
		r.killNode(victim)
		r.startNode(victim, standby)
	})
	r.quiet()
	r.settle()
	r.figure("kills=%d", r.kills)
}

// killPointwise starts a node again and again that kills itself, each time at another point, next
// to one that doesn't.
func killPointwise(r *Run) {
	r.Node.Markers, r.Node.Lease, r.Node.Pause = 2, time.Second, 2*time.Millisecond
	r.startNode(0, nil)
	died := map[string]int{}
	for range r.Times {
		for i, point := range killPoints {
			if !r.Full && i%len(everyEngine) != slices.Index(everyEngine, r.Engine.Name) {
				continue
			}
			p, began := r.startNode(1, func(c *NodeConfig) { c.Harm, c.HarmAt = point, 1+r.random.IntN(5) }), time.Now()
			r.until("an end or many marks", func() bool { return p.ended() || p.marks.Load() > 300 && time.Since(began) > 3*time.Second })
			if !p.ended() { // there is nothing of that kind on this engine, or too little
				r.killNode(1)
				continue
			}
			if !p.killed() {
				r.Fatalf("%s: the node ended otherwise: %v", point, p.err)
			}
			died[point]++
			r.kills++
		}
	}
	r.startNode(1, nil)
	r.quiet()
	r.settle()
	r.figure("kills=%d at %d points", r.kills, len(died))
	r.expectKept(r.verdict(), 0)
	if len(died) == 0 {
		r.Error("no node died at a chosen point")
	}
	for _, point := range killPoints {
		if r.Full && died[point] == 0 && !(r.Engine.Name == "postgres-pgx" && strings.HasSuffix(point, "COMMIT")) {
			r.Errorf("no node died %s", point)
		}
	}
}

// endWithQueue ends a node while its calls are under way and much is waiting.
func endWithQueue(r *Run) {
	r.Node.Markers = 0
	more := make(chan struct{})
	r.sink.become(Weather{Enough: publishers * publishBatch, More: more})
	p := r.startNode(0, nil)
	go func() { // calls are answered once the node may make no others
		select {
		case <-p.ending:
		case <-p.done:
		}
		close(more)
	}()
	r.until("some events are accepted", func() bool { return r.sink.accepted.Load() >= publishers*publishBatch })
	took, err := p.stop()
	if err != nil {
		r.Error(err)
	}
	var leased int
	if err := r.db.QueryRowContext(r.Context(), `SELECT count(*) FROM delivery_outbox WHERE lease <> 0`).Scan(&leased); err != nil {
		r.Fatal(err)
	}
	left := r.waiting()
	r.figure("stop=%v left=%d leased_then=%d", took.Round(time.Millisecond), left, leased)
	r.within("the node ended", took, r.Node.Lease/3+lenience)
	if leased > 0 || left == 0 {
		r.Errorf("the node left %d events, %d of them leased", left, leased)
	}
	r.sink.become(Weather{})
	r.start()
	r.settle()
	r.expectKept(r.verdict(), 0)
}
