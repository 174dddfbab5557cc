package deliverytest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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

func TestWhatComesBackBlockedIsTriedAgainWithoutTheOthers(t *testing.T) {
	var sizes []int
	store := &broken{Store: memstore.New()}
	store.created = func(created []delivery.Created) { sizes = append(sizes, len(created)) }
	holding := &holding{broken: store, tries: map[string]int{"m2": 2, "m4": 1}}
	created, err := create(t.Context(), holding, []delivery.NewMessage{open("c", "m1", "alice"), open("d", "m2", "alice"), open("e", "m3", "alice"), open("f", "m4", "alice")})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range created {
		if want := fmt.Sprint("m", i+1); c.Message.ID != want || c.Blocked {
			t.Errorf("result %d is %+v, want %s", i, c, want)
		}
	}
	if got := fmt.Sprint(sizes); got != "[2 1 1]" {
		t.Errorf("messages were stored in calls of %v", got)
	}
}

// holding is a store in which messages are blocked for some tries.
type holding struct {
	*broken
	tries map[string]int
}

func (s *holding) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	created := make([]delivery.Created, len(messages))
	var free []delivery.NewMessage
	var at []int
	for i, m := range messages {
		if s.tries[m.ID]--; s.tries[m.ID] >= 0 {
			created[i].Blocked = true
		} else {
			free, at = append(free, m), append(at, i)
		}
	}
	if len(free) == 0 {
		return created, nil, nil
	}
	stored, claimed, err := s.broken.Create(ctx, free, lease)
	for k, c := range stored {
		created[at[k]] = c
	}
	return created, claimed, err
}

func TestAScenesConversationAsideIsThereFromTheFirstOn(t *testing.T) {
	store, db := newTurns(t, false, flaws{})
	p := &txProbe{probe: newProbe(t, "", store), txStore: store, db: db}
	for range 2 {
		p.scene()
		p.message(aside)
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
