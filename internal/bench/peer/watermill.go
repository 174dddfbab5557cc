package peer

import (
	"context"
	stdsql "database/sql"
	"encoding/json"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/pusher/pusher-http-go/v5"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// Watermill is the tutorial's update with a message for Watermill's forwarder in the same
// transaction, as its documentation shows an outbox; the forwarder's publisher tells Pusher.
var Watermill = Peer{
	Name: "watermill", Kind: engines.Postgres, Prepare: prepareWatermill, Open: openWatermill,
	Pending: []string{`truncate "watermill_` + watermillTopic + `"`},
}

const watermillTopic = "events"

var (
	watermillSchema  = sql.DefaultPostgreSQLSchema{} // reads a hundred messages at a time
	watermillOffsets = sql.DefaultPostgreSQLOffsetsAdapter{}
)

func prepareWatermill(ctx context.Context, e Env) error {
	for _, q := range append(watermillSchema.SchemaInitializingQueries(watermillTopic), watermillOffsets.SchemaInitializingQueries(watermillTopic)...) {
		if err := e.execute(ctx, q.Query); err != nil {
			return err
		}
	}
	return prepareTutorial(ctx, e)
}

type watermillPeer struct {
	Fixture
	db        *stdsql.DB
	forwarder *forwarder.Forwarder
	done      chan struct{}
}

func openWatermill(ctx context.Context, e Env) (Marker, error) {
	subscriber, err := sql.NewSubscriber(e.Pool, sql.SubscriberConfig{
		SchemaAdapter: watermillSchema, OffsetsAdapter: watermillOffsets,
		PollInterval: 5 * time.Millisecond, // the default, 1 s, would make it look slower than it can be
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	f, err := forwarder.NewForwarder(subscriber, pusherPublisher{newPusher(e.Stub.Addr())}, watermill.NopLogger{},
		forwarder.Config{ForwarderTopic: watermillTopic, CloseTimeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	p := &watermillPeer{e.Fixture, e.Pool, f, make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = f.Run(context.WithoutCancel(ctx))
	}()
	<-f.Running()
	return p, nil
}

func (p *watermillPeer) Mark(ctx context.Context, i int) error {
	m := p.Marked(i)
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	shown := object{ID: m.N, Status: "Delivered"}
	if err := tx.QueryRowContext(ctx, selectMessage, m.N).Scan(&shown.Name, &shown.Message); err != nil {
		return err
	}
	if shown.Name == m.User {
		return nil
	}
	if _, err := tx.ExecContext(ctx, updateMessage, m.N); err != nil {
		return err
	}
	publisher, err := sql.NewPublisher(tx, sql.PublisherConfig{SchemaAdapter: watermillSchema}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	data, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	event := message.NewMessage(watermill.NewUUID(), data)
	event.Metadata.Set("socket", m.Socket)
	outbox := forwarder.NewPublisher(publisher, forwarder.PublisherConfig{ForwarderTopic: watermillTopic})
	if err := outbox.Publish(tutorialChannel, event); err != nil {
		return err
	}
	return tx.Commit()
}

func (p *watermillPeer) Close() error {
	err := p.forwarder.Close()
	<-p.done
	return err
}

// pusherPublisher is where the forwarder forwards to.
type pusherPublisher struct{ client *pusher.Client }

func (p pusherPublisher) Publish(_ string, events ...*message.Message) error {
	for _, e := range events {
		if err := trigger(p.client, json.RawMessage(e.Payload), e.Metadata.Get("socket")); err != nil {
			return err
		}
	}
	return nil
}

func (pusherPublisher) Close() error { return nil }
