package chaos

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// These scenarios harm the database, and the ways to it.
var databaseScenarios = []Scenario{
	{
		Row: "M4", Name: "the database is killed", Timed: true, Engines: servers, Setup: ownServer,
		Size: Size{World: small, Marks: 3_000, Nodes: 3, Times: 3},
		Full: always(Size{World: large, Marks: 250_000, Nodes: 3, Times: 50}),
		Run: func(r *Run) {
			r.start()
			recover := recovery(r, r.server.Kill)
			r.each(func(int) { recover() })
			finish(r)
		},
	},
	{
		Row: "M5", Name: "the database is restarted, and connections are terminated", Timed: true, Engines: servers, Setup: ownServer,
		Size: Size{World: small, Marks: 3_000, Nodes: 3, Times: 4},
		Full: always(Size{World: large, Marks: 250_000, Nodes: 3, Times: 100}),
		Run: func(r *Run) {
			r.start()
			recover := recovery(r, r.server.Stop)
			terminated := 0
			r.each(func(i int) {
				if i%2 == 0 {
					recover()
				} else {
					terminated += terminate(r)
				}
			})
			r.figure("terminated=%d", terminated)
			finish(r)
			if terminated == 0 {
				r.Error("no connection was terminated")
			}
		},
	},
	{
		Row: "M6", Name: "connections are cut around commits", Engines: servers,
		Size: Size{World: small, Marks: 2_000, Nodes: 2, Times: 40},
		Full: always(Size{World: large, Marks: 100_000, Nodes: 3, Times: 2_000}),
		Run: func(r *Run) {
			proxy := r.through()
			r.start()
			proxy.do(Harm{Cut: func(request []byte) float64 {
				if bytes.Contains(request, []byte("COMMIT")) {
					return 0.1
				}
				return 0.01
			}})
			r.untilMarks(r.Marks)
			r.until("enough cuts", func() bool { return proxy.count() >= r.Times })
			proxy.do(Harm{})
			r.figure("cuts=%d", proxy.count())
			v := finish(r)
			if v.Unknown == 0 {
				r.Error("no call was left without an outcome")
			}
		},
	},
	{
		Row: "M7", Name: "the database is slow", Timed: true, Engines: servers,
		Size: Size{World: small, Marks: 200, Nodes: 1},
		Full: always(Size{World: small, Marks: 2_000, Nodes: 2}),
		Run: func(r *Run) {
			proxy := r.through()
			r.setting(engines.MySQL, "interpolateParams=true") // which saves half of the round trips
			r.Node.Lease, r.Node.Pool, r.Node.Markers, r.Node.Timeout = 15*time.Second, 4, 16, time.Second
			harm := Harm{Delay: 30 * time.Millisecond}
			if r.Full {
				harm.Delay = 2 * time.Second
				r.Node.Lease, r.Node.Timeout = 5*time.Minute, 25*time.Second
			}
			r.start()
			proxy.do(harm)
			r.untilMarks(r.Marks)
			proxy.do(Harm{})
			v := finish(r)
			r.within("a caller was answered after its deadline", time.Duration(v.Late)*time.Millisecond, 100*time.Millisecond+lenience)
			if v.Heap > 64<<20 {
				r.Errorf("the heap grew to %d MiB", v.Heap>>20)
			}
		},
	},
	{
		Row: "M16", Name: "callers' transactions commit in reverse", Engines: servers,
		Size: Size{World: World{Conversations: 4, Messages: 25, Users: 10}, Nodes: 1, Times: 25},
		Full: always(Size{World: World{Conversations: 4, Messages: 1_000, Users: 10}, Nodes: 1, Times: 1_000}),
		Run:  commitInReverse,
	},
	{
		Row: "M17", Name: "nodes race for few receipts", Engines: everyEngine,
		Size: Size{World: World{Conversations: 2, Messages: 5, Users: 10}, Marks: 3_000, Nodes: 3},
		Full: always(Size{World: World{Conversations: 2, Messages: 5, Users: 10}, Marks: 1_000_000, Nodes: 3}),
		Run: func(r *Run) {
			r.Node.Markers = 21
			r.start()
			r.untilMarks(r.Marks)
			v := finish(r)
			if v.Failures > 0 {
				r.Errorf("%d calls failed: %v", v.Failures, v.failures)
			}
		},
	},
	{
		Row: "M18", Name: "deadlocks", Engines: servers,
		Size: Size{World: small, Marks: 2_000, Nodes: 3},
		Full: always(Size{World: large, Marks: 200_000, Nodes: 3}),
		Run:  deadlocks,
	},
	{
		Row: "M19", Name: "claims are slow to commit", Timed: true, Engines: servers,
		Size: calm,
		Full: always(Size{World: World{Conversations: 40, Messages: 10, Users: 40}, Marks: 10_000, Nodes: 2}),
		Run: func(r *Run) {
			v := dawdleOverClaims(r)
			r.expectKept(v, 0)
			limit := dawdle / 2
			if r.Full {
				limit = 50 * time.Millisecond
			}
			r.within("of a hundred marks, one was answered", time.Duration(v.MarkP99)*time.Microsecond, limit)
		},
	},
	{
		Row: "M20", Name: "processes contend for SQLite, while it is copied", Engines: []string{"sqlite"},
		Size: Size{World: small, Marks: 1_500, Nodes: 2},
		Full: always(Size{World: large, Marks: 100_000, Nodes: 2}),
		Run: func(r *Run) {
			r.Node.Markers, r.Node.Lease = 8, 15*time.Second
			r.start()
			ctx, stop := context.WithCancel(r.Context())
			var copies sync.WaitGroup
			copies.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					r.db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
					r.db.ExecContext(ctx, `VACUUM INTO ?`, filepath.Join(r.dir, fmt.Sprintf("copy-%d.db", i%2)))
				}
			})
			r.untilMarks(r.Marks)
			stop()
			copies.Wait()
			v := finish(r)
			if v.Failures > 0 {
				r.Errorf("%d calls failed: %v", v.Failures, v.failures)
			}
		},
	},
}

// finish has the nodes finish, and expects that the promise was kept without a dead letter.
func finish(r *Run) *Verdict {
	r.Helper()
	r.quiet()
	r.settle()
	v := r.verdict()
	r.expectKept(v, 0)
	return v
}

// setting adds a parameter to the DSN of the nodes, if they are on that kind of database.
func (r *Run) setting(kind engines.Kind, parameter string) {
	if r.Engine.Kind != kind {
		return
	}
	r.Node.DSN = with(r.Node.DSN, parameter)
}

// with is a DSN with a parameter more.
func with(dsn, parameter string) string {
	if strings.Contains(dsn, "?") {
		return dsn + "&" + parameter
	}
	return dsn + "?" + parameter
}

// recovery returns a function that ends the database server in that way and starts it again. When
// the run has ended, the longest time until a mark was acknowledged again is among its figures.
func recovery(r *Run, end func() error) (recover func()) {
	var longest time.Duration
	r.ends = append(r.ends, func() { r.figure("slowest_recovery=%v", longest.Round(time.Millisecond)) })
	limit := 2 * time.Second
	if !r.Full {
		limit += lenience
	}
	return func() {
		r.note("the database ends")
		if err := end(); err != nil {
			r.Fatal(err)
		}
		time.Sleep(time.Duration(r.random.Int64N(int64(500 * time.Millisecond))))
		if err := r.server.Start(); err != nil {
			r.Fatal(err)
		}
		r.db.SetMaxIdleConns(0) // they are to the server that ended
		r.db.SetMaxIdleConns(2)
		r.note("the database accepts")
		began := time.Now()
		r.untilMarks(r.acknowledged() + 1)
		took := time.Since(began)
		r.within("marks were acknowledged after the database accepted", took, limit)
		longest = max(longest, took)
	}
}

// terminate ends the connections of all nodes, and returns how many there were.
func terminate(r *Run) (count int) {
	r.note("connections are terminated")
	switch r.Engine.Kind {
	case engines.Postgres:
		err := r.db.QueryRowContext(r.Context(), `
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&count)
		if err != nil {
			r.Fatal(err)
		}
	case engines.MySQL:
		ids, err := rows(r.Context(), r.db, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) },
			`SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()`)
		if err != nil {
			r.Fatal(err)
		}
		for _, id := range ids {
			if _, err := r.db.ExecContext(r.Context(), fmt.Sprintf("KILL %d", id)); err == nil {
				count++
			}
		}
	}
	return count
}

// commitInReverse marks in four transactions at a time, of which three are committed, the last one
// first.
func commitInReverse(r *Run) {
	r.Node.Markers = 0
	r.start()
	tracker, err := delivery.New(r.store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
	if err != nil {
		r.Fatal(err)
	}
	config := NodeConfig{Dir: r.dir, Index: r.Nodes}
	journal, err := newJournal(config.journalPath())
	if err != nil {
		r.Fatal(err)
	}
	defer journal.close()
	for round := range r.Times {
		back := r.random.IntN(r.World.Conversations)
		var txs []*sql.Tx
		var entries []Entry
		for c := range r.World.Conversations {
			m := round % r.World.Messages
			u := (m + 1 + r.random.IntN(r.World.Users-1)) % r.World.Users
			e := Entry{At: now(), What: asks, User: userID(u), Socket: socketOf(r.Nodes, u), Status: delivery.Read, Messages: []string{messageID(c, m)}}
			tx, err := r.db.BeginTx(r.Context(), nil)
			if err != nil {
				r.Fatal(err)
			}
			results, err := tracker.MarkTx(r.Context(), tx, delivery.Actor{User: e.User, Socket: e.Socket}, e.Status, e.Messages...)
			if err == nil {
				err = results[0].Err
			}
			if err != nil {
				r.Fatal(err)
			}
			e.Changed = []bool{results[0].Changed}
			txs, entries = append(txs, tx), append(entries, e)
		}
		for c := len(txs) - 1; c >= 0; c-- {
			if c == back {
				txs[c].Rollback()
				continue
			}
			journal.write(entries[c])
			if err := txs[c].Commit(); err != nil {
				r.Fatal(err)
			}
			entries[c].What = acked
			journal.write(entries[c])
		}
	}
	r.settle()
	v := r.verdict()
	r.expectKept(v, 0)
	if want := r.Times * (r.World.Conversations - 1); v.Marks != want {
		r.Errorf("%d marks, want %d", v.Marks, want)
	}
}
