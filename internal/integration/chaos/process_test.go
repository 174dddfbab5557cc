package chaos

import "time"

// What befalls the nodes.
var processScenarios = []Scenario{
	{
		Row: "M1", Name: "nodes are killed", Engines: everyEngine,
		Size: Size{World: small, Marks: 20_000, Nodes: 3, Times: 5},
		Full: func(engine string) Size {
			size := Size{World: World{Conversations: 200, Messages: 50, Users: 50}, Marks: 300_000, Nodes: 3, Times: 50}
			switch engine {
			case "sqlite":
				size.Nodes, size.Times = 2, 20
			case "postgres-pgx":
				size.Marks = 1_000_000
			}
			return size
		},
		Run: func(r *Run) {
			r.start()
			r.each(func(int) {
				victim := r.random.IntN(r.Nodes)
				r.killNode(victim)
				r.startNode(victim, nil)
			})
			r.quiet()
			r.settle(time.Minute)
			v := r.verdict()
			r.figure("kills=%d", r.kills)
			r.expectKept(v, 0)
		},
	},
}
