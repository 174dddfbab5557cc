package contention

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// users returns so many names in order.
func users(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("u%04d", i)
	}
	return names
}

// A transaction of the caller's makes a roster of 1,000 names, most of which are new in its
// conversation and known in the conversations beside it, or new there too. It stays open, and no
// send there waits or is blocked.
func TestPostgresTransactionsThatMakeRostersHoldTheirConversationsOnly(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		ctx := patient(t)
		all := users(1000)
		sendTo(ctx, t, store, frozen("here 1", "here", "u0000", "some", all[:500]...))
		sendTo(ctx, t, store, frozen("known 1", "known", "u0001", "some", all[250:750]...))
		tx := stores.Begin(t, db)
		inside := store.InTx(tx)
		for i, conversation := range []string{"here", "made"} {
			if m := sendTo(ctx, t, inside, frozen(fmt.Sprint("tx ", i), conversation, "u0000", "all", all...)); m.Total != 999 {
				t.Errorf("a message to 1,000 users with the sender has %d recipients", m.Total)
			}
		}
		for i, conversation := range []string{"known", "new"} {
			for j, members := range [][]string{all, all[500:], {"u0000", "else"}} {
				m := sendTo(ctx, t, store, frozen(fmt.Sprint("beside ", i, j), conversation, members[0], fmt.Sprint("roster ", j), members...))
				marked, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy(members[1], m.ID)}, delivery.Lease{})
				if err != nil || !marked[0].Changed {
					t.Errorf("a mark of %s is %+v, %v", m.ID, marked, err)
				}
			}
		}
		for _, m := range [][]delivery.NewMessage{
			frozen("blocked 1", "here", "u0000", "all"), frozen("blocked 2", "here", "new", "some"), frozen("blocked 3", "made", "u0000", "all", all...),
		} {
			created, _, err := store.Create(ctx, m, delivery.Lease{})
			if err != nil || !created[0].Blocked && !created[0].NoRoster {
				t.Errorf("a send in a conversation of the transaction's is %+v, %v", created, err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		receipts, err := stores.Receipts(ctx, store, "tx 0")
		if err != nil || len(receipts) != 999 || receipts[0].Recipient != "u0001" || receipts[998].Recipient != "u0999" {
			t.Errorf("the message to the new roster has %d receipts, %v", len(receipts), err)
		}
	})
}

// Two processes send to the same new roster at the same time, in conversations that they make, and
// in such as they have used. One of them makes the roster, and both messages have it.
func TestPostgresMakesARosterOnceAndLeavesNoMessageWithoutOne(t *testing.T) {
	const rounds = 200
	e := engines.First(engines.Postgres)
	database := stores.Database(t, e)
	var pools [2]*sql.DB
	for i := range pools {
		pools[i] = database.Open(t)
		pools[i].SetMaxIdleConns(8)
	}
	all := users(40)
	sets := map[string][]string{}
	for round := range rounds {
		conversation := "warm"
		if round%2 == 0 {
			conversation = fmt.Sprint("cold ", round)
		}
		key := fmt.Sprint("roster ", round)
		sets[key] = all[round%20 : round%20+20]
		var wg sync.WaitGroup
		for i, db := range pools {
			store := stores.Open(t, e, db)
			wg.Go(func() {
				m := frozen(fmt.Sprint("m", round, " ", i), conversation, all[(round*7+i*3)%40], key, sets[key]...)
				if created, _, err := createUntilTried(t.Context(), store, m[0]); err != nil || created[0].Existed || created[0].NoRoster {
					t.Errorf("a send of process %d is %+v, %v", i, created, err)
				}
			})
		}
		wg.Wait()
	}

	store := stores.Open(t, e, pools[0])
	for round := range rounds {
		for i := range pools {
			id := fmt.Sprint("m", round, " ", i)
			set := sets[fmt.Sprint("roster ", round)]
			messages, err := store.Load(t.Context(), []string{id})
			if err != nil || len(messages) != 1 {
				t.Fatalf("%s is loaded as %+v, %v", id, messages, err)
			}
			var got []string
			receipts, err := stores.Receipts(t.Context(), store, id)
			for _, r := range receipts {
				got = append(got, r.Recipient)
			}
			want := slices.DeleteFunc(slices.Clone(set), func(user string) bool { return user == messages[0].Sender })
			if err != nil || !slices.Equal(got, want) || messages[0].Total != len(want) {
				t.Errorf("%s of %s has the recipients %q of %d, %v; want %q", id, messages[0].Sender, got, messages[0].Total, err, want)
			}
		}
	}
	var rosters, members, strays int
	err := pools[0].QueryRow(`SELECT (SELECT count(*) FROM delivery_rosters), (SELECT count(*) FROM delivery_members), (
		SELECT count(*) FROM delivery_rosters g WHERE NOT EXISTS (SELECT FROM delivery_messages WHERE conv = g.conv AND roster = g.roster)
	)`).Scan(&rosters, &members, &strays)
	if err != nil || rosters != rounds || members != 20*rounds || strays > 0 {
		t.Errorf("there are %d rosters with %d members, %d of them without a message, %v", rosters, members, strays, err)
	}
}

// A batch in which something is lacking is stored as a whole by one statement, or not at all.
func TestPostgresStoresNothingOfABatchThatFails(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		sendTo(t.Context(), t, store, frozen("m1", "c", "ann", "known", "ann", "bob"))
		for _, statement := range []string{
			"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not here'; END $$",
			"CREATE TRIGGER no_member BEFORE INSERT ON delivery_members FOR EACH ROW EXECUTE FUNCTION refuse()",
		} {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		batch := append(frozen("m2", "c", "ann", "known"), frozen("m3", "c", "cem", "new", "dan")...)
		if created, _, err := store.Create(t.Context(), batch, delivery.Lease{}); err == nil {
			t.Errorf("the batch is %+v", created)
		}
		if there, err := store.Load(t.Context(), []string{"m2", "m3"}); err != nil || len(there) > 0 {
			t.Errorf("of the batch there is %+v, %v", there, err)
		}
		wantVersions(t, store, "c", 1)
	})
}

// A send that is refused leaves no roster and no reader behind.
func TestPostgresMakesNothingForMessagesThatAreNotStored(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		sendTo(t.Context(), t, store, frozen("m1", "c", "ann", "r", "bob"))
		hold(t, db, "c")
		ctx := patient(t)
		created, _, err := store.Create(ctx, slices.Concat(
			frozen("m1", "d", "eve", "new 1", "fay"), // the id is taken
			frozen("m2", "c", "eve", "new 2", "fay"), // the conversation is locked
			frozen("m3", "e", "eve", "new 3"),        // the roster is not known
		), delivery.Lease{})
		if err != nil || !created[0].Existed || !created[1].Blocked || !created[2].NoRoster {
			t.Errorf("the results are %+v, %v", created, err)
		}
		var rows int
		err = db.QueryRow(`SELECT (SELECT count(*) FROM delivery_conversations) + (SELECT count(*) FROM delivery_readers) + (SELECT count(*) FROM delivery_rosters)`).Scan(&rows)
		if err != nil || rows != 1+2+1 {
			t.Errorf("there are %d conversations, readers and rosters, %v; want 4", rows, err)
		}
	})
}

// In a transaction whose snapshot lacks the roster, a send is exact or a conflict.
func TestPostgresSendsToARosterThatTheSnapshotLacks(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "c", "m1")
		for i, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
			if err != nil {
				t.Fatal(err)
			}
			inside := store.InTx(tx)
			if _, err := inside.Load(t.Context(), []string{"m1"}); err != nil { // begins the snapshot
				t.Fatal(err)
			}
			roster := fmt.Sprint("r", i)
			sendTo(t.Context(), t, store, frozen(fmt.Sprint("before ", i), "c", "ann", roster, "ann", "bob", "cem"))
			created, _, err := inside.Create(t.Context(), frozen(fmt.Sprint("late ", i), "c", "cem", roster, "dan"), delivery.Lease{})
			switch {
			case level != sql.LevelReadCommitted:
				if !errors.Is(err, delivery.ErrTxConflict) {
					t.Errorf("at %v the send is %+v, %v", level, created, err)
				}
			case err != nil || created[0].Message.Total != 2:
				t.Errorf("at %v the send is %+v, %v", level, created, err)
			}
			tx.Rollback()
		}
	})
}
