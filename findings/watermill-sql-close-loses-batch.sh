#!/usr/bin/env bash
# watermill-sql's queue on Postgres loses a batch of messages when its subscriber is closed after the first of them.
# Versions: watermill-sql/v4 v4.1.2, watermill v1.5.1, lib/pq v1.12.3; Postgres from Debian (seen with 15.19).
# Expected: a message that was not acknowledged is delivered again. SubscribeBatchSize (100) says that a higher value
# "increases a chance of message re-delivery in case of crash": repeats, not losses.
# Seen: when Close, or AckDeadline, ends the subscriber in the middle of a batch, it commits with an ack query for all rows
# it has fetched and not for those that were acknowledged. Of 20 messages one was acknowledged before Close; a new
# subscriber, or one in another process, gets none of the other 19, and the table is empty (DeleteOnAck; without it they
# are flagged as acked). Each polite restart of a worker can do that.
# Output seen: acknowledged 1 of 20, left in the table 0, got by a second subscriber 0
set -euo pipefail
dir=$(mktemp -d)
server=
trap '[[ -z $server ]] || { kill -INT "$server"; wait "$server" || true; }; rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)

mkdir data
as=()
if (( $(id -u) == 0 )); then chmod 711 . && chown postgres data && as=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi
timeout 120 "${as[@]}" "$(command -v initdb)" -D "$dir/data" -A trust -U postgres --no-sync >initdb.log
"${as[@]}" "$(command -v postgres)" -D "$dir/data" -c listen_addresses= -c unix_socket_directories="$dir/data" 2>server.log &
server=$!

cat >main.go <<'GO'
package main

import (
	"context"
	stdsql "database/sql"
	"fmt"
	"os"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	_ "github.com/lib/pq"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	db, err := stdsql.Open("postgres", "host="+os.Args[1]+" user=postgres dbname=postgres sslmode=disable")
	check(err)
	for range 100 {
		if err = db.Ping(); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	check(err)
	open := func() (*sql.Subscriber, <-chan *message.Message) {
		subscriber, err := sql.NewSubscriber(sql.BeginnerFromStdSQL(db), sql.SubscriberConfig{
			SchemaAdapter:    sql.PostgreSQLQueueSchema{},
			OffsetsAdapter:   sql.PostgreSQLQueueOffsetsAdapter{DeleteOnAck: true},
			InitializeSchema: true,
		}, watermill.NopLogger{})
		check(err)
		messages, err := subscriber.Subscribe(context.Background(), "receipts")
		check(err)
		return subscriber, messages
	}
	publisher, err := sql.NewPublisher(sql.BeginnerFromStdSQL(db), sql.PublisherConfig{
		SchemaAdapter: sql.PostgreSQLQueueSchema{}, AutoInitializeSchema: true,
	}, watermill.NopLogger{})
	check(err)
	var batch []*message.Message
	for i := range 20 {
		batch = append(batch, message.NewMessage(watermill.NewUUID(), fmt.Appendf(nil, `{"message":"m-%d","status":"read"}`, i)))
	}
	check(publisher.Publish("receipts", batch...))

	subscriber, messages := open()
	(<-messages).Ack()
	<-messages // the second is under way when the worker is told to stop
	check(subscriber.Close())
	var left int
	check(db.QueryRow("SELECT count(*) FROM watermill_receipts").Scan(&left))

	again, more := open()
	got := 0
	for end := time.After(5 * time.Second); ; {
		select {
		case m := <-more:
			got++
			m.Ack()
			continue
		case <-end:
		}
		break
	}
	check(again.Close())
	fmt.Printf("acknowledged 1 of 20, left in the table %d, got by a second subscriber %d\n", left, got)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/ThreeDotsLabs/watermill-sql/v4@v4.1.2 github.com/ThreeDotsLabs/watermill@v1.5.1 github.com/lib/pq@v1.12.3 2>/dev/null
timeout 600 go build -o probe .
timeout 120 ./probe "$dir/data" | tee out
diff out - <<'E'
acknowledged 1 of 20, left in the table 0, got by a second subscriber 0
E
