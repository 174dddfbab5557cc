package settings

import (
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// Logical replication brings rows without the sequences that their ids came from.
func TestPostgresSequencesThatAreBehindAreFound(t *testing.T) {
	e := engines.First(engines.Postgres)
	db, store := stores.Migrated(t, e)
	tracker, err := delivery.New(store, new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	validate := func() error { return sqlstore.Validate(t.Context(), db, sqlstore.Postgres) }
	send := func(conversation string) error {
		_, err := tracker.Send(t.Context(), delivery.Draft{Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
		return err
	}
	if err := validate(); err != nil {
		t.Fatalf("when nothing is there: %v", err)
	}
	for _, conversation := range []string{"a", "b", "c"} {
		if err := send(conversation); err != nil {
			t.Fatal(err)
		}
	}
	if err := validate(); err != nil {
		t.Fatalf("when all is well: %v", err)
	}

	sequences := []string{"delivery_conversations_conv_seq", "delivery_readers_reader_seq", "delivery_rosters_roster_seq", "delivery_outbox_id_seq"}
	for _, sequence := range sequences {
		if _, err := db.Exec("ALTER SEQUENCE " + sequence + " RESTART"); err != nil {
			t.Fatal(err)
		}
	}
	if err := send("d"); err == nil || !strings.Contains(err.Error(), "23505") {
		t.Errorf("a send to a new conversation: %v", err)
	}
	errs := firstCalls(t.Context(), stores.Open(t, e, db))
	errs["Migrate"] = sqlstore.Migrate(t.Context(), db, sqlstore.Postgres)
	tx := stores.Begin(t, db)
	_, _, errs["Create in a transaction"] = stores.Open(t, e, db).InTx(tx).Create(t.Context(), hello("in-tx"), delivery.Lease{})
	tx.Rollback()
	err = validate()
	errs["Validate"] = err
	for call, err := range errs {
		for _, sequence := range sequences {
			if err == nil || !strings.Contains(err.Error(), sequence) {
				t.Fatalf("%s says %v", call, err)
			}
		}
	}
	_, cure, _ := strings.Cut(err.Error(), ": run ")
	if _, err := db.Exec(cure); err != nil {
		t.Fatalf("%s: %v", cure, err)
	}
	if err := validate(); err != nil {
		t.Errorf("when the sequences were set: %v", err)
	}
	for call, err := range firstCalls(t.Context(), stores.Open(t, e, db)) {
		if err != nil {
			t.Errorf("when the sequences were set, %s says %v", call, err)
		}
	}
	for _, conversation := range []string{"a", "e"} {
		if err := send(conversation); err != nil {
			t.Errorf("a send to %s: %v", conversation, err)
		}
	}
}
