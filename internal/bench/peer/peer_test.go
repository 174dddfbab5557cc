package peer_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/bench/stub"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

var laboratory *lab.Lab

func TestMain(m *testing.M) {
	stub.Serve()
	var err error
	if laboratory, err = lab.Open(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer laboratory.Close()
	m.Run()
}

var fixture = peer.Fixture{Messages: 100, Conversations: 10, Recent: 40}

func open(t *testing.T, p peer.Peer) (peer.Env, peer.Marker) {
	t.Helper()
	db, err := laboratory.Database(t.Context(), p.Kind)
	if err != nil {
		t.Fatal(err)
	}
	e := peer.Env{Database: db, Fixture: fixture, Stub: laboratory.Stub}
	if err := p.Prepare(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := e.Stub.Reset(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	marker, err := p.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := marker.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, marker
}

func mark(t *testing.T, marker peer.Marker, marks int) {
	t.Helper()
	var next atomic.Int64
	done, err := load.Run(t.Context(), 8, load.Limit{Calls: marks, For: time.Minute}, &next, marker.Mark)
	if err != nil || done.Calls != marks {
		t.Fatalf("%d of %d marks were done: %v", done.Calls, marks, err)
	}
}

func TestEveryMarkIsPublishedOnce(t *testing.T) {
	for _, p := range []peer.Peer{
		peer.Inline, peer.River, peer.Watermill,
		peer.Ours(engines.Postgres), peer.Ours(engines.MySQL), peer.Ours(engines.SQLite),
	} {
		t.Run(p.Name, func(t *testing.T) {
			e, marker := open(t, p)
			const marks = 100
			mark(t, marker, marks)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if _, err := e.Stub.Wait(ctx, marks); err != nil {
				t.Error(err)
			}
			if counts, err := e.Stub.Counts(t.Context()); err != nil || counts.Marks != marks {
				t.Errorf("the stub accepted %+v (%v), want %d marks", counts, err, marks)
			}
			if err := p.Forget(t.Context(), e); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEveryMarkIsStored(t *testing.T) {
	receipts := map[string]string{"floor": "floor_receipts", "rows": "delivery_receipts", "single": "delivery_receipts", "ours": "delivery_receipts"}
	outboxes := map[string]string{"floor": "floor_outbox", "rows": "delivery_outbox", "single": "delivery_outbox", "ours": "delivery_outbox"}
	for _, p := range []peer.Peer{peer.Floor, peer.Rows, peer.Single, peer.OursUnpublished(engines.Postgres)} {
		t.Run(p.Name, func(t *testing.T) {
			e, marker := open(t, p)
			const marks = 100 // passes over all messages more than twice
			mark(t, marker, marks)
			if n := count(t, e, receipts[p.Name]); n != marks {
				t.Errorf("there are %d receipts, want %d", n, marks)
			}
			if n := count(t, e, outboxes[p.Name]); n == 0 || n > marks {
				t.Errorf("there are %d events, want some, and no more than %d", n, marks)
			}
			if err := p.Forget(t.Context(), e); err != nil {
				t.Error(err)
			}
			if n := count(t, e, outboxes[p.Name]); n != 0 {
				t.Errorf("%d events are left after they were forgotten", n)
			}
		})
	}
}

func count(t *testing.T, e peer.Env, table string) (n int) {
	t.Helper()
	if err := e.Pool.QueryRowContext(t.Context(), "select count(*) from "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAFixtureNeverGivesAMarkTwice(t *testing.T) {
	type receipt struct {
		message int
		user    string
	}
	seen := map[receipt]bool{}
	for i := range 10 * fixture.Recent {
		m := fixture.Marked(i)
		if r := (receipt{m.N, m.User}); seen[r] {
			t.Fatalf("mark %d is of message %d by %s, as an earlier one was", i, m.N, m.User)
		} else {
			seen[r] = true
		}
		if m.N < fixture.Messages-fixture.Recent || m.N >= fixture.Messages {
			t.Fatalf("mark %d is of message %d, which is none of the newest", i, m.N)
		}
	}
}
