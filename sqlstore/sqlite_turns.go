package sqlstore

import (
	"context"
	"time"
)

// A database that lets in one writer at a time may keep no order of those who wait. SQLite keeps
// none: they look in again and again, in the end every 100 ms (sqliteDefaultBusyCallback in its
// main.c), and between transactions that follow one another at once they hardly ever find it free.
// So that the app's own transactions, and other processes, come to write before they lose patience,
// the store leaves the database alone for that long after its writers were busy for so long.
const (
	shiftLength = time.Second
	breather    = 100 * time.Millisecond
)

// turns are the turns of a store's writers. The writer that has taken the shift from the channel
// may write.
type turns chan shift

// shift is what the store's writers have done since they last left the database alone.
type shift struct {
	busy  time.Duration
	ended time.Time // of the last writer
}

func newTurns() turns {
	t := make(turns, 1)
	t <- shift{}
	return t
}

// enter waits for the writers before, and then, if it is time, for the breather. Who got in leaves.
func (t turns) enter(ctx context.Context) (leave func(), err error) {
	var now shift
	select {
	case now = <-t:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	free := time.Since(now.ended)
	if free < breather && now.busy >= shiftLength {
		timer := time.NewTimer(breather - free)
		select {
		case <-timer.C:
			free = breather
		case <-ctx.Done():
			timer.Stop()
			t <- now
			return nil, ctx.Err()
		}
	}
	if free >= breather {
		now.busy = 0
	}
	began := time.Now()
	return func() {
		now.ended = time.Now()
		now.busy += now.ended.Sub(began)
		t <- now
	}, nil
}
