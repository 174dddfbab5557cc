#!/usr/bin/env bash
# The same time.Time stored through lib/pq and through pgx is two different times on Postgres.
# Versions: github.com/lib/pq v1.12.3, github.com/jackc/pgx/v5 v5.13.0, Postgres from Debian (seen with 15.19).
# Expected: timestamptz holds microseconds, so one of two rules applies to all of an app's processes.
# Seen: lib/pq sends text and the server rounds, so half of all times are stored up to 500 ns later than they were;
# pgx sends the binary form and cuts. A cursor kept in Go and used through the other driver, or after a change of
# driver, misses the row it came from: "sent_at <= $1" with the very time that was inserted finds nothing.
# A row of lib/pq's can also lie after now() of the process that stored it.
# Output seen: stored by lib/pq 03:04:05.123457, by pgx 03:04:05.123456
#              rows of lib/pq's that pgx finds at or before the time inserted: 0 of 1
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
	"database/sql"
	"fmt"
	"os"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	dsn := "host=" + os.Args[1] + " user=postgres dbname=postgres sslmode=disable"
	open := func(driver string) *sql.DB {
		db, err := sql.Open(driver, dsn)
		check(err)
		for range 100 {
			if err = db.Ping(); err == nil {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		check(err)
		return db
	}
	pq, pgx := open("postgres"), open("pgx")
	_, err := pq.Exec("CREATE TABLE message(by_driver text, sent_at timestamptz)")
	check(err)
	sent := time.Date(2026, 1, 2, 3, 4, 5, 123_456_789, time.UTC)
	_, err = pq.Exec("INSERT INTO message VALUES ('lib/pq', $1)", sent)
	check(err)
	_, err = pgx.Exec("INSERT INTO message VALUES ('pgx', $1)", sent)
	check(err)
	stored := func(driver string) (s string) {
		check(pq.QueryRow("SELECT to_char(sent_at AT TIME ZONE 'UTC', 'HH24:MI:SS.US') FROM message WHERE by_driver = $1", driver).Scan(&s))
		return s
	}
	fmt.Printf("stored by lib/pq %s, by pgx %s\n", stored("lib/pq"), stored("pgx"))
	var n int
	check(pgx.QueryRow("SELECT count(*) FROM message WHERE by_driver = 'lib/pq' AND sent_at <= $1", sent).Scan(&n))
	fmt.Printf("rows of lib/pq's that pgx finds at or before the time inserted: %d of 1\n", n)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/lib/pq@v1.12.3 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
timeout 300 go build -o probe .
timeout 120 ./probe "$dir/data" | tee out
diff out - <<'E'
stored by lib/pq 03:04:05.123457, by pgx 03:04:05.123456
rows of lib/pq's that pgx finds at or before the time inserted: 0 of 1
E
