//go:build !race

package orm

import (
	"cmp"
	"errors"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// rule is what holds with each of some libraries.
type rule struct {
	name      string
	libraries []library
	test      func(t *testing.T, w *world, a app)
}

var rules = []rule{
	{"what is committed is there together", libraries, committed},
	{"after a rollback there is nothing", libraries, rolledBack},
	{"after a Tx form that failed every later one fails", libraries, failed},
	{"outside a transaction all is refused", libraries, outside},
	{"what a transaction within another did is gone when it is rolled back", nesting, rolledBackWithin},
	{"a transaction goes on where the one that failed within it is rolled back", nesting, failedWithin},
	{"a bun.Tx in place of its tx.Tx fails on Postgres, and does all elsewhere", []library{{"bun", openBun}}, bunTx},
}

// TestTransactions runs on every engine, with every driver of a server and with one of SQLite.
func TestTransactions(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite && e.Driver != "sqlite" {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, e)
			for _, r := range rules {
				t.Run(r.name, func(t *testing.T) {
					for _, l := range r.libraries {
						if l.name == "pgxpool" && e.Driver != "pgx" {
							continue
						}
						t.Run(l.name, func(t *testing.T) { r.test(t, w, l.open(t, w.Database, w.db)) })
					}
				})
			}
		})
	}
}

func committed(t *testing.T, w *world, a app) {
	s := w.scene(t)
	must(t, a.transact(t.Context(), func(in inside) error {
		return cmp.Or(in.add(s.id("row")), s.send(in, "second"), s.read(in, "second"), s.deliverUpTo(in, "second"))
	}))
	both := []string{"first delivered", "second read"}
	s.has(stored{rows: []string{"row"}, messages: both, announced: both})
}

func rolledBack(t *testing.T, w *world, a app) {
	s := w.scene(t)
	changed := errors.New("the app changed its mind")
	err := a.transact(t.Context(), func(in inside) error {
		return cmp.Or(in.add(s.id("row")), s.send(in, "second"), s.read(in, "second"), s.deliverUpTo(in, "second"), changed)
	})
	if !errors.Is(err, changed) {
		t.Fatal(err)
	}
	s.has(before)
}

func failed(t *testing.T, w *world, a app) {
	s := w.scene(t)
	var sofar error
	err := a.transact(t.Context(), func(in inside) error {
		sofar = cmp.Or(in.add(s.id("row")), s.send(in, "second"))
		s.allFail(in)
		return nil
	})
	must(t, sofar)
	if w.Kind == engines.Postgres {
		s.has(before) // the commit was a rollback, whether the driver says so or not
		return
	}
	must(t, err)
	sent := []string{"first sent", "second sent"}
	s.has(stored{rows: []string{"row"}, messages: sent, announced: sent})
}

func rolledBackWithin(t *testing.T, w *world, a app) {
	s, undone := w.scene(t), errors.New("undone")
	must(t, a.transact(t.Context(), func(in inside) error {
		err := in.within(func(in inside) error {
			return cmp.Or(in.add(s.id("row")), s.send(in, "second"), s.read(in, "first"), undone)
		})
		if !errors.Is(err, undone) {
			return err
		}
		return cmp.Or(in.add(s.id("another row")), s.send(in, "third"))
	}))
	sent := []string{"first sent", "third sent"}
	s.has(stored{rows: []string{"another row"}, messages: sent, announced: sent})
}

func failedWithin(t *testing.T, w *world, a app) {
	s, undone := w.scene(t), errors.New("undone")
	must(t, a.transact(t.Context(), func(in inside) error {
		err := in.within(func(in inside) error {
			s.allFail(in)
			return undone
		})
		if !errors.Is(err, undone) {
			return err
		}
		return cmp.Or(in.add(s.id("row")), s.send(in, "fourth"))
	}))
	sent := []string{"first sent", "fourth sent"}
	s.has(stored{rows: []string{"row"}, messages: sent, announced: sent})
}

// allFail has a send fail, and fails the test unless all later calls in the transaction fail too.
func (s scene) allFail(in inside) {
	s.Helper()
	for form, err := range map[string]error{
		"a send that the database refuses": s.send(in, "refused"),
		"the next send":                    s.send(in, "third"),
		"the next mark":                    s.read(in, "first"),
		"the next mark up to a message":    s.deliverUpTo(in, "first"),
	} {
		if err == nil {
			s.Errorf("%s: no error", form)
		}
	}
}

func outside(t *testing.T, w *world, a app) {
	for name, tx := range a.outside {
		t.Run(name, func(t *testing.T) {
			s := w.scene(t)
			in := inside{tx: tx}
			for form, err := range map[string]error{
				"SendTx": s.send(in, "second"), "MarkTx": s.read(in, "first"), "MarkUpToTx": s.deliverUpTo(in, "first"),
			} {
				var invalid *delivery.InvalidError
				if !errors.As(err, &invalid) || invalid.Field != "tx" {
					t.Errorf("%s: the error is %v, want an InvalidError of the field tx", form, err)
				}
			}
			s.has(before)
		})
	}
}
