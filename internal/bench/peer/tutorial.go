package peer

import (
	"context"
	"database/sql"
	"net/http"
	"strings"
	"time"

	"github.com/pusher/pusher-http-go/v5"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// The tutorial's table, which others build on: one row per message, its status a column.

const tutorialTable = `create table messages (id bigint primary key, name text not null, message text not null, status text not null)`

const (
	selectMessage = `select name, message from messages where id = $1`
	updateMessage = `update messages set status = 'Delivered' where id = $1`
)

func prepareTutorial(ctx context.Context, e Env) error {
	if err := e.execute(ctx, tutorialTable); err != nil {
		return err
	}
	_, err := e.Pool.ExecContext(ctx, `insert into messages select n, $2, $3, 'Sent' from generate_series(0, $1::int - 1) n`, e.Messages, Sender, Body)
	if err != nil {
		return err
	}
	return e.Settle(ctx)
}

// Inline is the tutorial's pattern in Go: select the message, update it, and tell Pusher before the
// user gets an answer. It keeps no receipt and no event: what fails between the update and Pusher
// is lost.
var Inline = inlinePeer(func(e Env) *pusher.Client { return newPusher(e.Stub.Addr()) })

// InlineUnpublished is the first half of [Inline], which never tells Pusher.
var InlineUnpublished = inlinePeer(func(Env) *pusher.Client { return nil })

func inlinePeer(client func(Env) *pusher.Client) Peer {
	return Peer{
		Name: "inline", Kind: engines.Postgres, Prepare: prepareTutorial,
		Open: func(_ context.Context, e Env) (Marker, error) { return &inline{e.Fixture, e.Pool, client(e)}, nil },
	}
}

type inline struct {
	Fixture
	db     *sql.DB
	pusher *pusher.Client // nil if it never tells
}

func (p *inline) Mark(ctx context.Context, i int) error {
	m := p.Marked(i)
	message := object{ID: m.N, Status: "Delivered"}
	if err := p.db.QueryRowContext(ctx, selectMessage, m.N).Scan(&message.Name, &message.Message); err != nil {
		return err
	}
	if message.Name == m.User {
		return nil
	}
	if _, err := p.db.ExecContext(ctx, updateMessage, m.N); err != nil {
		return err
	}
	if p.pusher == nil {
		return nil
	}
	return trigger(p.pusher, message, m.Socket)
}

func (p *inline) Close() error { return nil }

const (
	tutorialChannel = "a_channel"
	tutorialEvent   = "delivered_message"
)

func trigger(client *pusher.Client, data any, socket string) error {
	_, err := client.TriggerWithParams(tutorialChannel, tutorialEvent, data, pusher.TriggerParams{SocketID: &socket})
	return err
}

// newPusher returns a client as a careful team would set it up: it keeps a connection for each
// caller.
func newPusher(addr string) *pusher.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 512
	return &pusher.Client{
		AppID: "1", Key: "key", Secret: strings.Repeat("s", 20), Host: addr,
		HTTPClient: &http.Client{Transport: transport, Timeout: 5 * time.Second},
	}
}
