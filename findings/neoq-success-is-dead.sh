#!/usr/bin/env bash
# neoq moves a job that succeeded to the dead jobs when it had no retry left.
# Versions: github.com/acaloiaro/neoq v0.72.2, Postgres backend, Postgres from Debian (seen with 15.19).
# Expected: MaxRetries is "the maximum number of times the job can retry", and dead jobs are those that failed that often.
# Seen: after the handler has returned nil the backend compares the retries used with MaxRetries before it looks at the
# result. A job that succeeds at its last try, and with MaxRetries 0 each job that succeeds, is deleted from the queue and
# stored in neoq_dead_jobs with an empty error. Whoever replays dead jobs runs finished work again, and an alarm on
# their number tells of failures that were none.
# Output seen: MaxRetries 0, handler ran 1 time and returned nil: dead 1, error ""
#              MaxRetries 3, handler ran 1 time and returned nil: dead 0, status processed
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
	"fmt"
	"os"
	"time"

	"github.com/acaloiaro/neoq"
	"github.com/acaloiaro/neoq/backends/postgres"
	"github.com/acaloiaro/neoq/handler"
	"github.com/acaloiaro/neoq/jobs"
	"github.com/jackc/pgx/v5/pgxpool"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	dsn := "postgres://postgres@/postgres?host=" + os.Args[1]
	pool, err := pgxpool.New(ctx, dsn)
	check(err)
	for range 100 {
		if err = pool.Ping(ctx); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	check(err)
	queue, err := neoq.New(ctx, neoq.WithBackend(postgres.Backend), postgres.WithConnectionString(dsn))
	check(err)
	ran := make(chan bool, 10)
	check(queue.Start(ctx, handler.New("receipts", func(context.Context) error { ran <- true; return nil })))
	for _, retries := range []int{0, 3} {
		_, err := queue.Enqueue(ctx, &jobs.Job{Queue: "receipts", MaxRetries: &retries, Payload: map[string]any{"retries": retries}})
		check(err)
		<-ran
		time.Sleep(time.Second)
		runs := 1 + len(ran)
		var dead int
		check(pool.QueryRow(ctx, "SELECT count(*) FROM neoq_dead_jobs WHERE max_retries = $1", retries).Scan(&dead))
		fmt.Printf("MaxRetries %d, handler ran %d time and returned nil: dead %d, ", retries, runs, dead)
		var text string
		if dead > 0 {
			check(pool.QueryRow(ctx, "SELECT coalesce(error, '') FROM neoq_dead_jobs").Scan(&text))
			fmt.Printf("error %q\n", text)
		} else {
			check(pool.QueryRow(ctx, "SELECT status::text FROM neoq_jobs").Scan(&text))
			fmt.Println("status", text)
		}
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/acaloiaro/neoq@v0.72.2 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
timeout 600 go build -o probe .
timeout 120 ./probe "$dir/data" | tee out
diff out - <<'E'
MaxRetries 0, handler ran 1 time and returned nil: dead 1, error ""
MaxRetries 3, handler ran 1 time and returned nil: dead 0, status processed
E
