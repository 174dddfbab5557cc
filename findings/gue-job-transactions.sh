#!/usr/bin/env bash
# gue commits what a failed job wrote, and runs a job without pause and without end when the database refused its work.
# Versions: github.com/vgarvardt/gue/v5 v5.8.0 with github.com/jackc/pgx/v5 v5.13.0, Postgres from Debian (15.19).
# Expected: job.Tx() is offered for work that belongs to the job. A job that returns an error has not happened: its writes
# are rolled back, its error_count grows, and the next try waits for the backoff (exponential by default).
# Seen: the worker stores the error in the same transaction and commits, with all that the job wrote before it failed.
# Each retry commits it once more. If the error came from Postgres itself (here a duplicate key), the transaction
# cannot take the error count either: the job stays as it was and due, and the worker runs it hundreds of times
# in 2 s with error_count 0, whatever the poll interval.
# Output seen: job failed after its INSERT: rows 1, error_count 1
#              job fails in the database: runs in 2 s more than 50 true, error_count 0
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
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/vgarvardt/gue/v5"
	"github.com/vgarvardt/gue/v5/adapter/pgxv5"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "host="+os.Args[1]+" user=postgres dbname=postgres")
	check(err)
	for range 100 {
		if err = pool.Ping(ctx); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	check(err)
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/vgarvardt/gue/v5").Output()
	check(err)
	schema, err := os.ReadFile(strings.TrimSpace(string(module)) + "/migrations/schema.sql")
	check(err)
	_, err = pool.Exec(ctx, string(schema)+"; CREATE TABLE notice(message text PRIMARY KEY)")
	check(err)
	number := func(query string) (n int) {
		check(pool.QueryRow(ctx, query).Scan(&n))
		return n
	}

	client, err := gue.NewClient(pgxv5.NewConnPool(pool))
	check(err)
	runs := 0
	worker, err := gue.NewWorker(client, gue.WorkMap{"notify": func(ctx context.Context, j *gue.Job) error {
		runs++
		if _, err := j.Tx().Exec(ctx, "INSERT INTO notice VALUES ('m-1')"); err != nil {
			return err
		}
		return errors.New("mail server away")
	}}, gue.WithWorkerPollInterval(time.Second))
	check(err)
	check(client.Enqueue(ctx, &gue.Job{Type: "notify"}))
	worker.WorkOne(ctx)
	fmt.Printf("job failed after its INSERT: rows %d, error_count %d\n",
		number("SELECT count(*) FROM notice"), number("SELECT error_count FROM gue_jobs"))

	_, err = pool.Exec(ctx, "UPDATE gue_jobs SET run_at = now() - interval '1 minute', error_count = 0")
	check(err)
	runs = 0
	limited, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	worker.Run(limited)
	fmt.Fprintln(os.Stderr, "runs:", runs)
	fmt.Printf("job fails in the database: runs in 2 s more than 50 %v, error_count %d\n",
		runs > 50, number("SELECT error_count FROM gue_jobs"))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/vgarvardt/gue/v5@v5.8.0 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
timeout 600 go build -o probe .
timeout 120 ./probe "$dir/data" | tee out
diff out - <<'E'
job failed after its INSERT: rows 1, error_count 1
job fails in the database: runs in 2 s more than 50 true, error_count 0
E
