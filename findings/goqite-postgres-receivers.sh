#!/usr/bin/env bash
# goqite on Postgres gives one message to two receivers, or answers the second with a serialization error.
# Versions: maragu.dev/goqite v0.4.0 with SQLFlavorPostgreSQL, github.com/jackc/pgx/v5 v5.13.0, Postgres from Debian (15.19).
# Expected: a received message is hidden from others until its timeout, and a second receiver takes the next message,
# as with SELECT ... FOR UPDATE SKIP LOCKED.
# Seen: the claim is UPDATE ... WHERE id = (SELECT ... LIMIT 1) without a lock in the subselect. With ReceiveTx in two
# transactions of the default isolation the second waits for the first, then claims the same message again, an hour
# before its timeout. Receive opens serializable transactions instead: there the second receiver gets SQLSTATE 40001 as
# an error, although other messages wait, and with eight receivers many of the calls fail so.
# Output seen: two transactions, two messages: same message true
#              eight receivers, 200 messages: all received true, calls that failed with 40001 more than 20 true
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
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"maragu.dev/goqite"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "host="+os.Args[1]+" user=postgres dbname=postgres")
	check(err)
	for range 100 {
		if err = db.Ping(); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	check(err)
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "maragu.dev/goqite").Output()
	check(err)
	schema, err := os.ReadFile(strings.TrimSpace(string(module)) + "/schema_postgres.sql")
	check(err)
	_, err = db.Exec(string(schema))
	check(err)

	open := func(name string, messages int) *goqite.Queue {
		q := goqite.New(goqite.NewOpts{DB: db, Name: name, SQLFlavor: goqite.SQLFlavorPostgreSQL, Timeout: time.Hour})
		for i := range messages {
			check(q.Send(ctx, goqite.Message{Body: fmt.Appendf(nil, "m-%d", i)}))
		}
		return q
	}

	q := open("transactions", 2)
	first, err := db.Begin()
	check(err)
	one, err := q.ReceiveTx(ctx, first)
	check(err)
	other := make(chan goqite.ID)
	go func() {
		second, err := db.Begin()
		check(err)
		m, err := q.ReceiveTx(ctx, second)
		check(err)
		check(second.Commit())
		other <- m.ID
	}()
	time.Sleep(time.Second)
	check(first.Commit())
	fmt.Println("two transactions, two messages: same message", one.ID == <-other)

	const messages = 200
	q = open("receivers", messages)
	var received, failed atomic.Int32
	var receivers sync.WaitGroup
	for range 8 {
		receivers.Go(func() {
			for deadline := time.Now().Add(time.Minute); received.Load() < messages && time.Now().Before(deadline); {
				m, err := q.Receive(ctx)
				switch {
				case err != nil && strings.Contains(err.Error(), "40001"):
					failed.Add(1)
				case err != nil:
					panic(err)
				case m != nil:
					received.Add(1)
				}
			}
		})
	}
	receivers.Wait()
	fmt.Fprintln(os.Stderr, received.Load(), "received,", failed.Load(), "failed")
	fmt.Printf("eight receivers, %d messages: all received %v, calls that failed with 40001 more than 20 %v\n",
		messages, received.Load() == messages, failed.Load() > 20)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get maragu.dev/goqite@v0.4.0 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
timeout 600 go build -o probe .
timeout 120 ./probe "$dir/data" | tee out
diff out - <<'E'
two transactions, two messages: same message true
eight receivers, 200 messages: all received true, calls that failed with 40001 more than 20 true
E
