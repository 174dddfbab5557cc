package peer

import (
	"context"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sqlstore"
)

// Ours is the library: a Tracker over sqlstore and pusheradapter, all with default options, and a
// running relay.
func Ours(kind engines.Kind) Peer {
	name := map[engines.Kind]string{engines.Postgres: "ours", engines.MySQL: "ours-mariadb", engines.SQLite: "ours-sqlite"}[kind]
	drop := map[engines.Kind]string{engines.Postgres: "TRUNCATE", engines.MySQL: "DELETE FROM", engines.SQLite: "DELETE FROM"}
	return Peer{Name: name, Kind: kind, Prepare: prepareOurs, Open: openOurs, Pending: []string{drop[kind] + " delivery_outbox"}}
}

// OursUnpublished is the library in a process that runs no relay: events are stored and stay where
// they are.
func OursUnpublished(kind engines.Kind) Peer {
	p := Ours(kind)
	p.Open = func(ctx context.Context, e Env) (Marker, error) {
		tracker, err := NewTracker(e, nil)
		return &ours{Fixture: e.Fixture, Tracker: tracker, stop: func() {}}, err
	}
	return p
}

type ours struct {
	Fixture
	*delivery.Tracker
	stop func()
}

// NewTracker returns a Tracker over the environment's database and stub.
func NewTracker(e Env, opts *pusheradapter.Options) (*delivery.Tracker, error) {
	config, err := pusheradapter.ParseURL(e.Stub.URL())
	if err != nil {
		return nil, err
	}
	notifier, err := pusheradapter.New(config, opts)
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.New(e.Pool, stores.Dialects[e.Kind])
	if err != nil {
		return nil, err
	}
	return delivery.New(store, notifier, &delivery.Options{OpenConversations: true, Logger: Quiet})
}

// Relay runs a Tracker's relay until stop is called.
func Relay(tracker *delivery.Tracker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tracker.Run(ctx) // its one error is a second Run
	}()
	return func() {
		cancel()
		<-done
	}
}

func openOurs(_ context.Context, e Env) (Marker, error) {
	tracker, err := NewTracker(e, nil)
	if err != nil {
		return nil, err
	}
	return &ours{e.Fixture, tracker, Relay(tracker)}, nil
}

func (o *ours) Mark(ctx context.Context, i int) error {
	m := o.Marked(i)
	_, err := o.MarkDelivered(ctx, delivery.Actor{User: m.User, Socket: m.Socket}, m.ID())
	return err
}

func (o *ours) Close() error {
	o.stop()
	return nil
}
