package deliverytest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestWhatComesBackBlockedIsTriedUntilTheContextEnds(t *testing.T) {
	calls := 0
	store := &broken{Store: memstore.New(), ctx: context.WithoutCancel, created: func(created []delivery.Created) {
		calls++
		created[0] = delivery.Created{Blocked: true}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := create(ctx, store, []delivery.NewMessage{open("c", "m", "alice")}); !errors.Is(err, context.DeadlineExceeded) || calls < 2 {
		t.Errorf("after %d calls: %v", calls, err)
	}
}

func TestATransactionRunsAgainIfItsErrorSaysSo(t *testing.T) {
	conflict, other := errors.New("conflict"), errors.New("other")
	says := func(err error) bool { return errors.Is(err, conflict) }
	for _, test := range []struct {
		says func(error) bool
		err  error
		runs int
	}{
		{says, conflict, tries},
		{says, other, 1},
		{nil, conflict, 1},
		{says, nil, 1},
	} {
		store, db := newTurns(t, false, flaws{})
		p := &txProbe{probe: newProbe(t, "", store), txStore: store, db: db, conflict: test.says}
		runs := 0
		err := p.transact(func(tx *sql.Tx) error {
			runs++
			return errors.Join(tx.Rollback(), test.err)
		}, func(delivery.DBTX) error { return nil })
		if !errors.Is(err, test.err) || runs != test.runs {
			t.Errorf("%v: ran %d times and ended with %v, want %d times", test.err, runs, err, test.runs)
		}
	}
}
