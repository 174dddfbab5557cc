package contention

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// mysqlEngine is MariaDB in plain settings.
var mysqlEngine = engines.First(engines.MySQL)

// Batches name conversations in any order, senders and markers meet in all of them, some in
// transactions of their own at the server's default isolation. No call may fail, and everything
// must add up.
func TestMySQLIsExactUnderContention(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings map[string]string
	}{
		{"at the defaults", nil},
		{"with snapshot isolation", map[string]string{"innodb_snapshot_isolation": "ON"}}, // MariaDB's default from 11.6.2
		{"in a mode of its own", map[string]string{"sql_mode": "'ANSI,NO_BACKSLASH_ESCAPES'"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			database := mysqlEngine.Database(t)
			config, err := mysqldriver.ParseDSN(database.DSN)
			if err != nil {
				t.Fatal(err)
			}
			config.Params = test.settings
			database.DSN = config.FormatDSN()
			db := database.Open(t)
			db.SetMaxIdleConns(32)
			contend(t, mysqlEngine, 24, db)
		})
	}
}

// Two pools on one file stand for two processes. The first one's transactions begin with the lock,
// for which they have patience, since both stores write all the time; the second one's begin
// without it, and its connections wait for nobody.
func TestSQLiteIsExactUnderContention(t *testing.T) {
	eachSQLite(t, func(t *testing.T, e engines.Engine) {
		database := e.Database(t)
		patient := database.SQLite(t, "immediate", "busy_timeout(60000)", "journal_mode(WAL)", "synchronous(FULL)")
		contend(t, e, 6, patient.Open(t), database.SQLite(t, "deferred", "busy_timeout(0)").Open(t))
	})
}

// contend lets as many callers as said work through each of the pools on one database, and audits
// what they leave.
func contend(t *testing.T, e engines.Engine, callers int, pools ...*sql.DB) {
	const calls, conversations, messages = 12, 4, 5
	stores.Migrate(t, e, pools[0])
	var contests []*contest
	for _, db := range pools {
		contests = append(contests, &contest{t: t, db: db, store: stores.Open(t, e, db)})
	}
	for i := range conversations * messages {
		contests[0].send(fmt.Sprint("c", i%conversations))
	}
	for _, c := range contests[1:] {
		c.sent = slices.Clone(contests[0].sent)
	}
	var wg sync.WaitGroup
	for _, c := range contests {
		for range callers {
			wg.Go(func() {
				for range calls {
					switch rand.N(10) {
					case 0:
						c.send(fmt.Sprint("c", rand.N(conversations)))
					case 1:
						c.upTo()
					case 2:
						c.inTx(c.batch(1 + rand.N(3)))
					case 3, 4:
						c.mark(c.store, c.batch(1))
					case 5:
						c.settle()
					default:
						c.mark(c.store, c.batch(2+rand.N(6)))
					}
				}
			})
		}
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	sum := contests[0]
	for _, c := range contests[1:] {
		sum.events = append(sum.events, c.events...)
		sum.changed.Add(c.changed.Load())
	}
	rest, err := sum.store.Claim(t.Context(), 1<<20, delivery.Lease{Token: 1, For: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	sum.told(rest)
	versions := int64(0)
	for i := range conversations {
		versions += sum.audit(fmt.Sprint("c", i))
	}
	if versions != sum.changed.Load() {
		t.Errorf("calls reported %d changes, the conversations counted %d", sum.changed.Load(), versions)
	}
	t.Logf("%d changes, %d events, %d times blocked", versions, len(sum.events), sum.blocked.Load())
}

// settle claims some of what is due and settles it, in no order.
func (c *contest) settle() {
	claimed, err := c.store.Claim(c.t.Context(), 1+rand.N(20), delivery.Lease{Token: rand.Int64N(1<<62) + 1, For: time.Hour})
	if err != nil {
		c.t.Error(err)
		return
	}
	c.told(claimed)
	var settlements []delivery.Settlement
	for _, claim := range claimed {
		settlements = append(settlements, delivery.Settlement{ID: claim.Event.ID, Lease: claim.Lease, Outcome: delivery.SettleDone})
	}
	rand.Shuffle(len(settlements), func(i, j int) { settlements[i], settlements[j] = settlements[j], settlements[i] })
	held, err := c.store.Settle(c.t.Context(), settlements)
	if err != nil || held != len(settlements) {
		c.t.Errorf("%d of %d claims were settled, %v", held, len(settlements), err)
	}
}

// isConflict reports whether a caller's transaction lost against another, which is the caller's to
// repeat.
func isConflict(err error) bool {
	var postgres interface{ SQLState() string }
	var mysql *mysqldriver.MySQLError
	switch {
	case errors.As(err, &mysql):
		return mysql.Number == 1213 || mysql.Number == 1020
	case engines.IsBusy(err):
		return true
	case errors.As(err, &postgres):
		return postgres.SQLState() == "40P01"
	}
	return false
}
