//go:build !race

package orm

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/gobuffalo/pop/v6"
	"github.com/gobuffalo/pop/v6/logging"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

func TestMain(m *testing.M) {
	pop.SetLogger(func(logging.Level, string, ...any) {})
	engines.Main(m)
}

// library is one way in which an app uses its database.
type library struct {
	name string
	open func(t *testing.T, d engines.Database, db *sql.DB) app
}

// app is an app that uses its database by one library.
type app struct {
	// transact runs fn in a transaction, which it commits if fn returns nil, and else rolls back.
	transact func(ctx context.Context, fn func(in inside) error) error

	// outside holds, by name, what the app could hand over by mistake: nothing of it is a
	// transaction.
	outside map[string]delivery.DBTX
}

// inside is what an app has in hand in a transaction.
type inside struct {
	tx  delivery.DBTX         // for the Tx forms
	add func(id string) error // adds a row to the app's table

	// within runs fn in a transaction within this one, which fn's error rolls back; nil for a
	// library that has none.
	within func(fn func(in inside) error) error
}

// nested is the app that does all in a transaction within another one.
func nested(open func(*testing.T, engines.Database, *sql.DB) app) func(*testing.T, engines.Database, *sql.DB) app {
	return func(t *testing.T, d engines.Database, db *sql.DB) app {
		outer := open(t, d, db)
		return app{transact: func(ctx context.Context, fn func(inside) error) error {
			return outer.transact(ctx, func(in inside) error { return in.within(fn) })
		}}
	}
}

// begun is a transaction that is ended by its own methods.
type begun interface {
	Commit() error
	Rollback() error
}

// end ends a transaction in which fn returned err.
func end(tx begun, err error) error {
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

var libraries = []library{
	{"database/sql", openSQL},
	{"a connection on which the app begins", openConn},
	{"pgxpool", openPgxpool},
	{"sqlc", openSqlc},
	{"sqlx", openSqlx},
	{"squirrel", openSquirrel},
	{"goqu", openGoqu},
	{"gorm", openGorm},
	{"gorm with PrepareStmt", openGormPrepared},
	{"gorm with PrepareStmt, the transaction beneath", openGormUnprepared},
	{"gorm nested", nested(openGorm)},
	{"gorm with PrepareStmt nested", nested(openGormPrepared)},
	{"gorm in a hook", openGormHook},
	{"bun", openBun},
	{"bun nested", nested(openBun)},
	{"ent over a transaction of the app's", openEntJoined},
	{"ent with execquery", openEntTx},
	{"xorm", openXorm},
	{"upper", openUpper},
	{"pop", openPop},
}

// nesting lists those that begin transactions within others.
var nesting = []library{
	{"database/sql", openSQL},
	{"gorm", openGorm},
	{"gorm with PrepareStmt", openGormPrepared},
	{"bun", openBun},
}

// note is the model of the app's table.
type note struct {
	ID string `db:"id" xorm:"pk 'id'"`
}

func (note) TableName() string { return "notes" }

// world is a database with the tables of an app and of the store, and a Tracker.
type world struct {
	engines.Database
	db      *sql.DB
	tracker *delivery.Tracker
	events  *deliverytest.Recorder
}

// ofNotes makes the app's table, and has the database refuse the event of a message named
// "refused", which is written after the message.
var ofNotes = map[engines.Kind][]string{
	engines.SQLite: {
		"CREATE TABLE notes (id TEXT PRIMARY KEY)",
		"CREATE TRIGGER refuse BEFORE INSERT ON delivery_outbox WHEN NEW.payload LIKE '% refused%' BEGIN SELECT RAISE(ABORT, 'refused'); END",
	},
	engines.MySQL: {
		"CREATE TABLE notes (id VARCHAR(200) PRIMARY KEY)",
		"CREATE TRIGGER refuse BEFORE INSERT ON delivery_outbox FOR EACH ROW IF NEW.payload LIKE '% refused%' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF",
	},
	engines.Postgres: {
		"CREATE TABLE notes (id TEXT PRIMARY KEY)",
		"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$",
		"CREATE TRIGGER refuse BEFORE INSERT ON delivery_outbox FOR EACH ROW WHEN (NEW.payload LIKE '% refused%') EXECUTE FUNCTION refuse()",
	},
}

func newWorld(t *testing.T, e engines.Engine) *world {
	t.Helper()
	w := &world{Database: stores.Database(t, e), events: new(deliverytest.Recorder)}
	w.db = w.Open(t)
	for _, statement := range ofNotes[e.Kind] {
		_, err := w.db.Exec(statement)
		must(t, err)
	}
	var err error
	w.tracker, err = delivery.New(stores.Open(t, e, w.db), w.events, &delivery.Options{OpenConversations: true})
	must(t, err)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
