package settings

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// The largest batches, of texts that take the most room on their way to the server, keep to the
// default of its max_allowed_packet, which is the least that the store accepts. A smaller limit of
// the driver's own only makes arguments travel in pieces.
func TestMySQLTakesTheLargestBatches(t *testing.T) {
	for _, params := range []string{"interpolateParams=true", "interpolateParams=true&maxAllowedPacket=65536"} {
		t.Run(params, func(t *testing.T) { takesTheLargestBatches(t, params) })
	}
}

func takesTheLargestBatches(t *testing.T, params string) {
	database := engines.First(engines.MySQL).Database(t)
	database.DSN += "?" + params
	db := database.Open(t)
	stores.Migrate(t, database.Engine, db)
	store := stores.Open(t, database.Engine, db)
	var largest int64
	if err := db.QueryRow("SELECT @@max_allowed_packet").Scan(&largest); err != nil || largest != 16<<20 {
		t.Fatalf("max_allowed_packet is %d, %v", largest, err)
	}
	tracker, err := delivery.New(store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }),
		&delivery.Options{OpenConversations: true, EventBodies: true})
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("<", delivery.MaxBody)
	const full = 26 // messages like these that make a full batch: see TestAFullBatchOfSendsFitsAPacket of package delivery
	t.Run("full batches of sends", func(t *testing.T) {
		for batch := range 2 {
			var messages []delivery.NewMessage
			for i := range full {
				m := hello(fmt.Sprint("full-", batch, "-", i))[0]
				m.Body, m.EventBody = body, true
				messages = append(messages, m)
			}
			if _, _, err := store.Create(t.Context(), messages, delivery.Lease{}); err != nil {
				t.Errorf("Create: %.200v", err)
			}
		}
	})
	t.Run("one send with the most recipients", func(t *testing.T) {
		recipients := make([]string, 10_000)
		for i := range recipients {
			recipients[i] = strings.Repeat("<", delivery.MaxID-5) + fmt.Sprintf("%05d", i)
		}
		if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "<", Body: body, Audience: delivery.Audience{Recipients: recipients}}); err != nil {
			t.Errorf("the send: %.200v", err)
		}
	})
	t.Run("dead letters that are put back", func(t *testing.T) {
		claimed, err := store.Claim(t.Context(), 100, delivery.Lease{Token: 1, For: time.Hour})
		if err != nil || len(claimed) != 2*full+1 {
			t.Fatalf("%d events of %d, %.200v", len(claimed), 2*full+1, err)
		}
		var settlements []delivery.Settlement
		var ids []int64
		for _, c := range claimed {
			settlements = append(settlements, delivery.Settlement{ID: c.Event.ID, Lease: 1, Outcome: delivery.SettleBury, Reason: "no"})
			ids = append(ids, c.Event.ID)
		}
		if _, err := store.Settle(t.Context(), settlements); err != nil {
			t.Fatal(err)
		}
		if err := tracker.Replay(t.Context(), ids...); err != nil {
			t.Errorf("Replay: %.200v", err)
		}
	})
}
