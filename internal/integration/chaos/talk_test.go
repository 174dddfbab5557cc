package chaos

import "github.com/msgdelivery/delivery/internal/integration/engines"

// In these scenarios callers write in transactions of their own.
var talkScenarios = []Scenario{
	{
		Row: "M32", Name: "callers reply and mark in transactions, nodes and the database are killed", Engines: everyEngine, Setup: ownServer,
		Size: Size{World: World{Conversations: 4, Messages: 20, Users: 20}, Marks: 1_500, Nodes: 3, Times: 3},
		Full: func(engine string) Size {
			size := Size{World: World{Conversations: 20, Messages: 50, Users: 50}, Marks: 300_000, Nodes: 3, Times: 30}
			if engine == "sqlite" {
				size.Nodes, size.Times = 2, 20
			}
			return size
		},
		Run: func(r *Run) {
			r.Node.Talk, r.Node.Batch = 40, 3
			if r.Full {
				r.Node.Batch = 10
			}
			r.start()
			recover := func() {}
			if r.server != nil {
				recover = recovery(r, r.server.Kill)
			}
			r.each(func(i int) {
				if i%3 == 2 && r.Engine.Kind != engines.SQLite {
					recover()
					return
				}
				victim := r.random.IntN(r.Nodes)
				r.killNode(victim)
				r.startNode(victim, nil)
			})
			r.figure("kills=%d", r.kills)
			v := finish(r)
			if v.Failures > 0 && r.server == nil {
				r.Errorf("%d calls failed: %v", v.Failures, v.failures)
			}
		},
	},
}
