package sqlstore

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

func TestWhatASessionCannotDoIsTriedOnAnother(t *testing.T) {
	ever := func(err error) []error { return slices.Repeat([]error{err}, 100) }
	for _, test := range []struct {
		name        string
		idle        int // sessions that were opened before
		fail        []error
		want        string // in the error
		unavailable bool
		opened      int
	}{
		{"sessions that may not write any more", 3, ever(errReadOnly)[:3], "", false, 4},
		{"no session may write", 0, ever(errReadOnly), "read-only", true, 2},
		{"no session may write any more", 3, ever(errReadOnly), "read-only", true, 4},
		{"no session of a large pool may write", 15, ever(errReadOnly), "read-only", true, 15},
		{"a session without its prepared statements", 0, []error{errPooled}, "", false, 2},
		{"sessions that are not the client's own", 0, ever(errPooled), "default_query_exec_mode=exec", false, 2},
		{"a database without room", 0, ever(errAway), "no room", true, 1},
	} {
		ways := map[string]func(s *session) error{
			"read":   func(s *session) error { return s.read(t.Context(), work(t.Context())) },
			"single": func(s *session) error { return s.single(t.Context(), work(t.Context())) },
			"write":  func(s *session) error { return s.write(t.Context(), work(t.Context())) },
		}
		for way, run := range ways {
			t.Run(test.name+", "+way, func(t *testing.T) {
				s, d := script(t, false, map[string][]error{"WORK": slices.Clone(test.fail)})
				warm(t, s, test.idle)
				err := run(s)
				if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("the error is %v, want %q", err, test.want)
				}
				if errors.Is(err, delivery.ErrUnavailable) != test.unavailable {
					t.Errorf("unavailable: %t", !test.unavailable)
				}
				if d.opened != test.opened {
					t.Errorf("%d connections were opened, want %d", d.opened, test.opened)
				}
			})
		}
	}
}

func TestASessionThatTheServerEndsIsReplacedUnlessItMayHaveCommitted(t *testing.T) {
	ever := slices.Repeat([]error{errEnded}, 100)
	read := func(t *testing.T, s *session) error { return s.read(t.Context(), work(t.Context())) }
	single := func(t *testing.T, s *session) error { return s.single(t.Context(), work(t.Context())) }
	write := func(t *testing.T, s *session) error { return s.write(t.Context(), work(t.Context())) }
	for _, test := range []struct {
		name   string
		run    func(t *testing.T, s *session) error
		fail   map[string][]error
		want   error // nil, or what the error is beside errEnded
		log    []string
		opened int
	}{
		{"a read", read, map[string][]error{"WORK": ever[:2]}, nil, []string{"WORK", "WORK", "WORK"}, 3},
		{"a read of a server that ends each", read, map[string][]error{"WORK": ever}, delivery.ErrUnavailable, []string{"WORK", "WORK", "WORK"}, 3},
		{"a transaction", write, map[string][]error{"WORK": ever[:1]}, nil, []string{"BEGIN", "WORK", "BEGIN", "WORK", "COMMIT"}, 2},
		{"a transaction that began no more", write, map[string][]error{"BEGIN": ever[:1]}, nil, []string{"BEGIN", "BEGIN", "WORK", "COMMIT"}, 2},
		{"a commit", write, map[string][]error{"COMMIT": ever[:1]}, delivery.ErrOutcomeUnknown, []string{"BEGIN", "WORK", "COMMIT"}, 2},
		{"sessions of a pooler that has no server", single, map[string][]error{"CONNECT": {nil, nil, errEnded, errEnded}, "WORK": {errReadOnly, errReadOnly}}, delivery.ErrUnavailable, []string{"WORK", "WORK"}, 2},
		{"a statement that commits", single, map[string][]error{"WORK": ever[:1]}, delivery.ErrOutcomeUnknown, []string{"WORK"}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, d := script(t, false, test.fail)
			warm(t, s, 2)
			err := test.run(t, s)
			if !errors.Is(err, test.want) || err != nil && !errors.Is(err, errEnded) {
				t.Errorf("the error is %v, want %v", err, test.want)
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

// warm fills the session's pool with idle connections.
func warm(t *testing.T, s *session, idle int) {
	t.Helper()
	s.db.SetMaxIdleConns(max(idle, 2))
	conns := make([]*sql.Conn, idle)
	for i := range conns {
		var err error
		if conns[i], err = s.db.Conn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range conns {
		conn.Close()
	}
}
