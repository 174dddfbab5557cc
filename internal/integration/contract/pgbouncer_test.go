//go:build !race

package contract

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// pooled lists the settings of drivers that docs/support.md names for pgbouncer in transaction
// mode.
var pooled = []struct {
	name     string
	driver   string
	settings url.Values
}{
	{"postgres-pgx-exec", "pgx", url.Values{"default_query_exec_mode": {"exec"}}},
	{"postgres-pgx-cache-describe", "pgx", url.Values{"default_query_exec_mode": {"cache_describe"}}},
	{"postgres-pq-binary-parameters", "postgres", url.Values{"binary_parameters": {"yes"}}},
}

func TestSQLStoreKeepsTheContractBehindPgbouncer(t *testing.T) {
	e := engines.First(engines.Postgres)
	pooler := engines.Pgbouncer(t)
	for _, p := range pooled {
		if !slices.Contains(sql.Drivers(), p.driver) {
			continue // not every build has them all
		}
		t.Run(p.name, func(t *testing.T) {
			database := pooler.Front(t, e.Database(t), p.driver, p.settings)
			stores.Migrate(t, e, database.Open(t))
			keepsTheContract(t, database, nil)
		})
	}
}

// With pgx's default settings clients run into each other's prepared statements. Errors name the
// cure, and so does the log, where nobody else would notice that events are not published.
func TestErrorsBehindPgbouncerNameTheCure(t *testing.T) {
	const cure = "default_query_exec_mode=exec"
	e := engines.First(engines.Postgres)
	pooler := engines.Pgbouncer(t)
	database := e.Database(t)
	stores.Migrate(t, e, database.Open(t))
	db := pooler.Front(t, database, "pgx", nil).Open(t)
	db.SetMaxIdleConns(20)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	logged := make(chan struct{})
	names := sync.OnceFunc(func() { close(logged) })
	log := slog.New(slog.NewTextHandler(writer(func(line []byte) {
		if bytes.Contains(line, []byte(cure)) {
			names()
		}
	}), nil))
	tracker, err := delivery.New(stores.Open(t, e, db), delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }),
		&delivery.Options{OpenConversations: true, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { tracker.Run(ctx) })
	said := make(chan struct{}, 1)
	for n := range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, err := tracker.Send(ctx, delivery.Draft{Conversation: fmt.Sprint(n), Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
				if err == nil {
					_, err = tracker.MarkUpTo(ctx, delivery.Actor{User: "bob"}, delivery.Read, delivery.MessageRef{Conversation: fmt.Sprint(n), ID: "unknown"})
				}
				if err != nil && strings.Contains(err.Error(), cure) {
					select {
					case said <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	for what, heard := range map[string]chan struct{}{"an error": said, "the log": logged} {
		select {
		case <-heard:
		case <-ctx.Done():
			t.Errorf("%s names no cure", what)
		}
	}
}

// writer is a function as an [io.Writer].
type writer func(line []byte)

func (w writer) Write(line []byte) (int, error) {
	w(line)
	return len(line), nil
}
