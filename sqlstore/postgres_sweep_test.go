package sqlstore

import (
	"database/sql"
	"testing"
	"testing/synctest"
	"time"
)

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sweep)
		look := func(name string, want time.Duration, left bool) {
			t.Helper()
			began := time.Now()
			since := s.since(began)
			if since != want {
				t.Errorf("%s: it looks %v back, want %v", name, since, want)
			}
			time.Sleep(100 * time.Millisecond)
			if !left {
				s.leftNothing(began, since)
			}
		}
		look("the first claim", everything, true)
		look("one after a claim that left something", everything, false)
		look("one after a claim that left nothing", 100*time.Millisecond+lateCommits, false)
		time.Sleep(time.Second)
		look("one a second later", 1100*time.Millisecond+lateCommits, true)
		time.Sleep(5 * time.Second)
		look("one after a claim that left something lately", 6200*time.Millisecond+lateCommits, false)
		time.Sleep(sweepInterval)
		look("one after a while", everything, false)
		s.ask()
		look("one that is asked to", everything, true)
		look("the next, as that one left something", everything, false)
		look("one after that", 100*time.Millisecond+lateCommits, false)
		began, since := time.Now(), s.since(time.Now())
		time.Sleep(time.Millisecond)
		s.ask()
		s.leftNothing(began, since)
		look("one that is asked to while another is under way", everything, false)
	})
}

func TestClaimsInATransactionThatMayBeRolledBackSayNothingAboutOthers(t *testing.T) {
	store, err := New(new(sql.DB), Postgres)
	if err != nil {
		t.Fatal(err)
	}
	inside := store.InTx(new(sql.Tx)).(*Store)
	inside.session.writes.(*postgresWrites).sweep.leftNothing(time.Now(), everything)
	if since := store.session.writes.(*postgresWrites).sweep.since(time.Now()); since != everything {
		t.Errorf("outside, a claim looks %v back", since)
	}
}
