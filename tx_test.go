package delivery_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// embedded is a transaction as the libraries around database/sql have it.
type embedded struct{ *sql.Tx }

// pool is a database in the shape of a transaction.
type pool struct{ *sql.DB }

func (p pool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return p.DB.QueryContext(ctx, query, args...)
}

func TestTxFormsAcceptTransactionsAndNothingElse(t *testing.T) {
	var noTx *sql.Tx
	for _, test := range []struct {
		name string
		tx   delivery.DBTX
		ok   bool
	}{
		{"a transaction", new(sql.Tx), true},
		{"a transaction inside another type", embedded{new(sql.Tx)}, true},
		{"a connection", new(sql.Conn), true},
		{"nothing", nil, false},
		{"a nil transaction", noTx, false},
		{"a database", new(sql.DB), false},
		{"a database inside another type", pool{new(sql.DB)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			tracker := newTracker(t, &shortLived{Store: memstore.New()}, new(endpoint), nil)
			sendAs(t, tracker, "m")
			_, send := tracker.SendTx(t.Context(), test.tx, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
			_, mark := tracker.MarkTx(t.Context(), test.tx, bob, delivery.Read, "m")
			_, upTo := tracker.MarkUpToTx(t.Context(), test.tx, bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m"})
			for form, err := range map[string]error{"SendTx": send, "MarkTx": mark, "MarkUpToTx": upTo} {
				var invalid *delivery.InvalidError
				switch {
				case test.ok && err != nil:
					t.Errorf("%s: %v", form, err)
				case !test.ok && (!errors.As(err, &invalid) || invalid.Field != "tx"):
					t.Errorf("%s: the error is %v, want an InvalidError of the field tx", form, err)
				}
			}
		})
	}
}
