package chaos

import (
	"reflect"
	"time"

	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// These scenarios harm databases on more than one machine.
var replicaScenarios = []Scenario{
	{
		Row: "M40", Name: "a node of a Galera cluster is killed", Engines: []string{"mysql"}, OnlyFull: true,
		Setup: func(r *Run) engines.Database {
			r.cluster = r.Engine.Cluster(r)
			for range 10 {
				r.cluster.Renew(r)
				migrateEverywhere(r)
			}
			return r.cluster.Database(r, 0)
		},
		Full: always(Size{World: large, Marks: 100_000, Nodes: 4, Times: 10}),
		Run: func(r *Run) {
			for i := range r.Nodes {
				r.startNode(i, func(c *NodeConfig) { c.DSN = r.cluster.Database(r, i%2).DSN })
			}
			r.each(func(i int) {
				r.note("a node of the cluster ends", "node", i%2)
				if err := r.cluster.Kill(i % 2); err != nil {
					r.Fatal(err)
				}
				r.untilMarks(r.acknowledged() + 100) // by the node that is left
				if err := r.cluster.Start(i % 2); err != nil {
					r.Fatal(err)
				}
				r.note("the node has caught up", "node", i%2)
			})
			finish(r)
		},
	},
	{
		Row: "M41", Name: "a standby is promoted", Engines: []string{"postgres-pgx"}, OnlyFull: true,
		Setup: func(r *Run) engines.Database {
			r.pair = r.Engine.Pair(r)
			return r.pair.Database(r)
		},
		Full: always(Size{World: large, Marks: 100_000, Nodes: 3, Times: 10}),
		Run: func(r *Run) {
			r.start()
			var longest time.Duration
			r.each(func(int) {
				r.note("the primary ends")
				err := r.pair.Promote(func() {
					r.note("the standby takes writes")
					began := time.Now()
					r.untilMarks(r.acknowledged() + 1)
					longest = max(longest, time.Since(began))
				})
				if err != nil {
					r.Fatal(err)
				}
				r.note("the standby confirms commits")
			})
			r.figure("slowest_recovery=%v", longest.Round(time.Millisecond))
			finish(r)
			readFromStandby(r)
		},
	},
}

// migrateEverywhere makes the tables by several callers at each node of the cluster at once: a lock
// by name is a node's own.
func migrateEverywhere(r *Run) {
	const callers = 4
	errs := make(chan error, callers)
	for i := range callers {
		db := r.cluster.Database(r, i%2).Open(r)
		go func() { errs <- sqlstore.Migrate(r.Context(), db, sqlstore.MySQL) }()
	}
	for range callers {
		if err := <-errs; err != nil {
			r.Errorf("migrating at both nodes at once: %v", err)
		}
	}
	r.cluster.Sync(r)
	if err := sqlstore.Validate(r.Context(), r.cluster.Database(r, 1).Open(r), sqlstore.MySQL); err != nil {
		r.Error(err)
	}
}

// readFromStandby expects that a store on the standby reads what is on the primary, within seconds.
func readFromStandby(r *Run) {
	db := r.pair.OpenStandby(r)
	store, err := sqlstore.New(db, stores.Dialects[r.Engine.Kind])
	if err != nil {
		r.Fatal(err)
	}
	want, err := readState(r.Context(), r.db, r.Engine.Kind, r.store, r.World)
	if err != nil {
		r.Fatal(err)
	}
	began := time.Now()
	r.until("the standby reads what the primary does", func() bool {
		got, err := readState(r.Context(), db, r.Engine.Kind, store, r.World)
		if err != nil {
			r.Fatal(err)
		}
		return reflect.DeepEqual(got, want)
	})
	r.within("the standby read that", time.Since(began), lenience)
}
