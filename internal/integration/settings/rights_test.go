package settings

import (
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

func TestPostgresNeedsTheRightsThatTheDocsNameAndNoOthers(t *testing.T) {
	e := engines.All[slices.IndexFunc(engines.All, func(e engines.Engine) bool { return e.Driver == "pgx" })]
	database := stores.Database(t, e)
	owner := database.Open(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	role := fmt.Sprintf("app_%d", time.Now().UnixNano()) // roles are the server's, not the database's
	grant := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			_, err := owner.Exec(statement)
			must(err)
		}
	}
	grant("CREATE ROLE " + role)
	t.Cleanup(func() {
		owner, err := sql.Open(database.Driver, database.DSN)
		must(err)
		defer owner.Close()
		_, err = owner.Exec("DROP OWNED BY " + role + "; DROP ROLE " + role)
		must(err)
	})
	grant("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO " + role)
	dsn, err := url.Parse(database.DSN)
	must(err)
	query := dsn.Query()
	query.Set("role", role)
	dsn.RawQuery = query.Encode()
	db, err := sql.Open(database.Driver, dsn.String())
	must(err)
	defer db.Close()
	var name string
	must(db.QueryRow("SELECT current_user").Scan(&name))
	if name != role {
		t.Fatalf("the statements run as %s", name)
	}

	if err = sqlstore.Validate(t.Context(), db, sqlstore.Postgres); err == nil || !strings.Contains(err.Error(), "delivery_outbox_id_seq") {
		t.Errorf("without the sequence, Validate says %v", err)
	}
	grant("GRANT USAGE ON SEQUENCE delivery_outbox_id_seq TO " + role)
	must(sqlstore.Validate(t.Context(), db, sqlstore.Postgres))

	ctx, store, lease := t.Context(), stores.Open(t, e, db), delivery.Lease{Token: 1, For: time.Hour}
	var messages []delivery.NewMessage
	for _, id := range []string{"a", "b", "c", "d"} {
		messages = append(messages, delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: "room", Sender: "ann", Open: true, Quorum: 1}})
	}
	messages = append(messages, delivery.NewMessage{
		Header: delivery.Header{ID: "e", Conversation: "room", Sender: "ann"}, Roster: "all", Members: []string{"ann", "bob", "dan"},
	})
	_, born, err := store.Create(ctx, messages, lease)
	must(err)
	_, one, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", "a")}, lease)
	must(err)
	_, two, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", "b"), stores.MarkBy("cem", "b")}, lease)
	must(err)
	_, upTo, err := store.AdvanceUpTo(ctx, []delivery.UpTo{{
		Conversation: "room", Message: "d", User: "bob", Status: delivery.Read, At: time.Now(), Admitted: true,
	}}, 10, lease)
	must(err)
	var settlements []delivery.Settlement
	for i, claimed := range [][]delivery.Claimed{born, one, two, upTo} {
		if len(claimed) == 0 {
			t.Errorf("call %d brought no event", i)
		}
		for k, c := range claimed {
			outcome := []delivery.Outcome{delivery.SettleDone, delivery.SettleBury, delivery.SettleRetry}[(i+k)%3]
			settlements = append(settlements, delivery.Settlement{ID: c.Event.ID, Lease: c.Lease, Outcome: outcome})
		}
	}
	held, err := store.Settle(ctx, settlements)
	must(err)
	if held != len(settlements) {
		t.Errorf("%d of %d events were there to settle", held, len(settlements))
	}
	dead, err := store.Dead(ctx, 0, 10)
	must(err)
	for _, d := range dead {
		_, err = store.Settle(ctx, []delivery.Settlement{{ID: d.Event.ID, Outcome: delivery.SettleRequeue, Event: d.Event}})
		must(err)
	}
	claimed, err := store.Claim(ctx, 100, lease)
	must(err)
	if len(claimed) < len(dead) || len(dead) == 0 {
		t.Errorf("%d dead letters, %d events claimed", len(dead), len(claimed))
	}
	_, deleted, err := store.Delete(ctx, []delivery.Deletion{{Message: "a"}, {Message: "b"}}, lease)
	must(err)
	if len(deleted) != 1 {
		t.Errorf("%d events of deletions", len(deleted))
	}
	_, err = store.List(ctx, delivery.List{Conversation: "room", Limit: 10, Viewer: "bob"})
	must(err)
	_, err = store.Unread(ctx, "cem", []string{"room"}, 10)
	must(err)
}
