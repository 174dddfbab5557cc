package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
)

var (
	errConflict = errors.New("conflict")
	errRefused  = errors.New("refused")
	errLost     = errors.New("connection lost")
	errReadOnly = errors.New("read-only")
	errPooled   = errors.New("no such prepared statement")
	errAway     = errors.New("no room")
	errEnded    = errors.New("the server ends the session")
)

// scripted is a driver that records statements and fails them as it is told.
type scripted struct {
	mu     sync.Mutex
	log    []string
	fail   map[string][]error // by statement: its next outcomes
	opened int
}

func (s *scripted) Connect(context.Context) (driver.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.next("CONNECT"); err != nil {
		return nil, err
	}
	s.opened++
	return scriptedConn{s}, nil
}

// next returns the next outcome of a statement.
func (s *scripted) next(statement string) (err error) {
	if next := s.fail[statement]; len(next) > 0 {
		err, s.fail[statement] = next[0], next[1:]
	}
	return err
}

func (s *scripted) Driver() driver.Driver { return nil }

type scriptedConn struct{ *scripted }

func (c scriptedConn) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, query)
	if err := c.next(query); err != nil {
		return nil, err
	}
	return driver.RowsAffected(1), nil
}

func (scriptedConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (scriptedConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (scriptedConn) Close() error                        { return nil }

// script returns a session on a scripted driver.
func script(t *testing.T, serial bool, fail map[string][]error) (*session, *scripted) {
	s := &scripted{fail: fail}
	db := sql.OpenDB(s)
	t.Cleanup(func() { db.Close() })
	scripted := &dialect{begin: begin("BEGIN"), serial: serial, classify: func(err error) fate {
		switch {
		case errors.Is(err, errEnded):
			return ended
		case errors.Is(err, errConflict):
			return conflict
		case errors.Is(err, errRefused):
			return refused
		case errors.Is(err, errReadOnly):
			return readOnly
		case errors.Is(err, errPooled):
			return pooled
		case errors.Is(err, errAway):
			return away
		}
		return unknown
	}}
	if serial {
		scripted.turns = sqlite.turns
	}
	return newSession(db, scripted), s
}

func work(ctx context.Context) func(q delivery.DBTX) error {
	return func(q delivery.DBTX) error {
		_, err := q.ExecContext(ctx, "WORK")
		return err
	}
}

func TestTransactions(t *testing.T) {
	for _, test := range []struct {
		name    string
		fail    map[string][]error
		want    error // nil, or what the error is
		unknown bool  // whether it says so
		log     []string
		opened  int
	}{
		{
			name:   "a transaction commits last",
			log:    []string{"BEGIN", "WORK", "COMMIT"},
			opened: 1,
		}, {
			name:   "an error rolls back and is not repeated",
			fail:   map[string][]error{"WORK": {errRefused}},
			want:   errRefused,
			log:    []string{"BEGIN", "WORK", "ROLLBACK"},
			opened: 1,
		}, {
			name:   "a conflict repeats the whole transaction",
			fail:   map[string][]error{"WORK": {errConflict, errConflict}},
			log:    []string{"BEGIN", "WORK", "ROLLBACK", "BEGIN", "WORK", "ROLLBACK", "BEGIN", "WORK", "COMMIT"},
			opened: 1,
		}, {
			name:   "a conflict at the commit repeats it too",
			fail:   map[string][]error{"COMMIT": {errConflict}},
			log:    []string{"BEGIN", "WORK", "COMMIT", "ROLLBACK", "BEGIN", "WORK", "COMMIT"},
			opened: 1,
		}, {
			name:   "a refused commit has changed nothing",
			fail:   map[string][]error{"COMMIT": {errRefused}},
			want:   errRefused,
			log:    []string{"BEGIN", "WORK", "COMMIT", "ROLLBACK"},
			opened: 1,
		}, {
			name:    "a commit without an answer is an unknown outcome",
			fail:    map[string][]error{"COMMIT": {errLost}},
			want:    errLost,
			unknown: true,
			log:     []string{"BEGIN", "WORK", "COMMIT", "ROLLBACK"},
			opened:  1,
		}, {
			name:    "a connection found broken at the commit may have been broken by it",
			fail:    map[string][]error{"COMMIT": {driver.ErrBadConn}},
			want:    driver.ErrBadConn,
			unknown: true,
			log:     []string{"BEGIN", "WORK", "COMMIT"},
			opened:  1,
		}, {
			name:   "a connection lost before the commit has changed nothing",
			fail:   map[string][]error{"WORK": {errLost}},
			want:   errLost,
			log:    []string{"BEGIN", "WORK", "ROLLBACK"},
			opened: 1,
		}, {
			name:   "a connection that went stale in the pool is replaced",
			fail:   map[string][]error{"BEGIN": {driver.ErrBadConn, driver.ErrBadConn}},
			log:    []string{"BEGIN", "BEGIN", "BEGIN", "WORK", "COMMIT"},
			opened: 3,
		}, {
			name:   "a database that only breaks connections is given up",
			fail:   map[string][]error{"BEGIN": slices.Repeat([]error{driver.ErrBadConn}, 100)},
			want:   driver.ErrBadConn,
			log:    slices.Repeat([]string{"BEGIN"}, maxUseless+1),
			opened: maxUseless + 1,
		}, {
			name:   "a connection that cannot roll back is dropped",
			fail:   map[string][]error{"WORK": {errConflict}, "ROLLBACK": {errRefused}, "BEGIN": {nil, errRefused}},
			log:    []string{"BEGIN", "WORK", "ROLLBACK", "BEGIN", "BEGIN", "WORK", "COMMIT"},
			opened: 2,
		}, {
			name:   "a connection that has rolled back by itself is kept",
			fail:   map[string][]error{"WORK": {errConflict}, "ROLLBACK": {errRefused}},
			log:    []string{"BEGIN", "WORK", "ROLLBACK", "BEGIN", "ROLLBACK", "BEGIN", "WORK", "COMMIT"},
			opened: 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, d := script(t, false, test.fail)
			err := s.write(t.Context(), work(t.Context()))
			if !errors.Is(err, test.want) {
				t.Errorf("the error is %v, want %v", err, test.want)
			}
			if got := errors.Is(err, delivery.ErrOutcomeUnknown); got != test.unknown {
				t.Errorf("%v says that the outcome is unknown: %t, want %t", err, got, test.unknown)
			}
			if !slices.Equal(d.log, test.log) {
				t.Errorf("the statements are %q, want %q", d.log, test.log)
			}
			if d.opened != test.opened {
				t.Errorf("%d connections were opened, want %d", d.opened, test.opened)
			}
		})
	}
}

func TestAPanicRollsBack(t *testing.T) {
	s, d := script(t, true, nil)
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic did not go on")
			}
		}()
		s.write(t.Context(), func(delivery.DBTX) error { panic("boom") })
	}()
	if err := s.write(t.Context(), work(t.Context())); err != nil {
		t.Errorf("the next transaction fails: %v", err)
	}
	if want := []string{"BEGIN", "ROLLBACK", "BEGIN", "WORK", "COMMIT"}; !slices.Equal(d.log, want) {
		t.Errorf("the statements are %q, want %q", d.log, want)
	}
	if d.opened != 1 {
		t.Errorf("%d connections were opened, want the first one back", d.opened)
	}
}

func TestAContextThatEndsBeforeTheCommitEndsTheTransaction(t *testing.T) {
	for _, test := range []struct {
		name   string
		serial bool
		log    []string
		left   int
	}{
		{"with the connection, which may not answer any more", false, []string{"BEGIN"}, 0},
		{"in a file by a rollback, since a database in memory would go with its connection", true, []string{"BEGIN", "ROLLBACK"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, d := script(t, test.serial, nil)
			ctx, cancel := context.WithCancel(t.Context())
			err := s.write(ctx, func(delivery.DBTX) error {
				cancel()
				return nil
			})
			if !errors.Is(err, context.Canceled) || errors.Is(err, delivery.ErrOutcomeUnknown) {
				t.Errorf("the error is %v", err)
			}
			if !slices.Equal(d.log, test.log) {
				t.Errorf("the statements are %q, want %q", d.log, test.log)
			}
			if left := s.db.Stats().OpenConnections; left != test.left {
				t.Errorf("%d connections are left, want %d", left, test.left)
			}
		})
	}
}

func TestConflictsAreRepeatedUntilTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := script(t, false, map[string][]error{"WORK": slices.Repeat([]error{errConflict}, 1000)})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		err := s.write(ctx, work(ctx))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errConflict) {
			t.Errorf("the error is %v, want both the deadline and the conflict", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the call took %v of its 3 s", took)
		}
		// With pauses of 0 to 25 ms it is some 240 times.
		if n := len(d.log) / 3; n < 120 || n > 480 {
			t.Errorf("it was tried %d times in 3 s", n)
		}
	})
}

func TestSerialWritersQueueUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := script(t, true, nil)
		first := make(chan error)
		release := make(chan struct{})
		go func() {
			first <- s.write(t.Context(), func(delivery.DBTX) error {
				<-release
				return nil
			})
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.write(ctx, work(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second writer did not wait for the first: %v", err)
		}
		close(release)
		if err := <-first; err != nil {
			t.Error(err)
		}
		if want := []string{"BEGIN", "COMMIT"}; !slices.Equal(d.log, want) {
			t.Errorf("the statements are %q, want %q", d.log, want)
		}
		if err := s.write(t.Context(), work(t.Context())); err != nil {
			t.Errorf("a writer after them: %v", err)
		}
	})
}

func TestSerialWritersLeaveTheDatabaseToOthersNowAndThen(t *testing.T) {
	busy := func(s *session, took time.Duration) error {
		return s.write(context.Background(), func(delivery.DBTX) error {
			time.Sleep(took)
			return nil
		})
	}
	// wear has the session write for a second, without a pause.
	wear := func(t *testing.T, s *session) {
		began := time.Now()
		for range 10 {
			if err := busy(s, 100*time.Millisecond); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("writing for a second took %v", took)
		}
	}
	for _, test := range []struct {
		name  string
		after time.Duration // since the last transaction
		wait  time.Duration
	}{
		{"for 100 ms after a second of writing", 0, 100 * time.Millisecond},
		{"no longer than it takes from the last transaction on", 60 * time.Millisecond, 40 * time.Millisecond},
		{"only by the time that passes, if it is enough", 100 * time.Millisecond, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := script(t, true, nil)
				for range 2 { // and then again
					wear(t, s)
					time.Sleep(test.after)
					began := time.Now()
					if err := busy(s, 0); err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took != test.wait {
						t.Errorf("the next transaction took %v, want %v", took, test.wait)
					}
				}
			})
		})
	}
	t.Run("after writing, and not after the time in between", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, _ := script(t, true, nil)
			began := time.Now()
			for range 50 {
				if err := busy(s, 10*time.Millisecond); err != nil {
					t.Error(err)
				}
				time.Sleep(40 * time.Millisecond)
			}
			if took := time.Since(began); took != 50*50*time.Millisecond {
				t.Errorf("50 transactions, each 50 ms after the other, took %v", took)
			}
		})
	})
	t.Run("though a caller does not wait so long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, _ := script(t, true, nil)
			wear(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			if err := s.write(ctx, work(ctx)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the caller's error is %v", err)
			}
			began := time.Now()
			if err := busy(s, 0); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != 70*time.Millisecond {
				t.Errorf("the next caller waited for %v, want the rest of the 100 ms", took)
			}
		})
	})
}

func TestSingleStatements(t *testing.T) {
	for _, test := range []struct {
		name    string
		fail    []error
		want    error
		unknown bool
		tried   int
	}{
		{name: "a statement that succeeds runs once", tried: 1},
		{name: "a conflict repeats it", fail: []error{errConflict}, tried: 2},
		{name: "a refusal ends it", fail: []error{errRefused}, want: errRefused, tried: 1},
		{name: "a missing answer is an unknown outcome", fail: []error{errLost}, want: errLost, unknown: true, tried: 1},
		{name: "a connection that was lost is one too", fail: []error{driver.ErrBadConn}, want: driver.ErrBadConn, unknown: true, tried: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, d := script(t, false, map[string][]error{"WORK": test.fail})
			err := s.single(t.Context(), work(t.Context()))
			if !errors.Is(err, test.want) || errors.Is(err, delivery.ErrOutcomeUnknown) != test.unknown {
				t.Errorf("the error is %v, want %v, unknown: %t", err, test.want, test.unknown)
			}
			if len(d.log) != test.tried {
				t.Errorf("it was tried %d times, want %d", len(d.log), test.tried)
			}
		})
	}
}

func TestInACallersTransactionNothingIsBegunEndedOrRepeated(t *testing.T) {
	for _, test := range []struct {
		name string
		fail error
		want error
		log  []string
	}{
		{"a write that succeeds", nil, nil, []string{"ENTER", "WORK", "LEAVE"}},
		{"a conflict", errConflict, delivery.ErrTxConflict, []string{"ENTER", "WORK", "FAIL"}},
		{"a refusal", errRefused, errRefused, []string{"ENTER", "WORK", "FAIL"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, d := script(t, true, map[string][]error{"WORK": {test.fail}})
			exec := func(statement string) func(context.Context, delivery.DBTX) error {
				return func(ctx context.Context, tx delivery.DBTX) error {
					_, err := tx.ExecContext(ctx, statement)
					return err
				}
			}
			s.inTx = guard{enter: exec("ENTER"), leave: "LEAVE", fail: exec("FAIL")}
			inner := *s
			inner.tx = s.db
			if err := inner.write(t.Context(), work(t.Context())); !errors.Is(err, test.want) || !errors.Is(err, test.fail) {
				t.Errorf("the error is %v, want %v", err, test.want)
			}
			if !slices.Equal(d.log, test.log) {
				t.Errorf("the statements are %q, want %q", d.log, test.log)
			}
		})
	}
}

func TestACallersTransactionOnADatabaseThatIsAwaySaysSo(t *testing.T) {
	for name, test := range map[string]struct {
		err         error
		unavailable bool
	}{
		"without room":                        {errAway, true},
		"only lets itself be read":            {errReadOnly, true},
		"that broke the connection":           {driver.ErrBadConn, true},
		"that refuses":                        {errRefused, false},
		"that is in conflict with another":    {errConflict, false},
		"of which nobody knows what it means": {errors.New("odd"), false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := script(t, false, nil)
			nothing := func(context.Context, delivery.DBTX) error { return nil }
			s.tx, s.inTx = new(sql.Tx), guard{enter: nothing, fail: nothing}
			err := s.write(t.Context(), func(delivery.DBTX) error { return test.err })
			if !errors.Is(err, test.err) || errors.Is(err, delivery.ErrUnavailable) != test.unavailable {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
