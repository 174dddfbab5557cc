#!/usr/bin/env bash
# lib/pq behind pgbouncer's transaction pooling runs another client's statement, without an error.
# Versions: github.com/lib/pq v1.12.3 with its defaults; from Debian pgbouncer (seen with 1.18.0) and Postgres (15.19).
# Expected: a query with parameters either runs as written or fails ("prepared statement does not exist" is what pgx
# answers there).
# Seen: lib/pq prepares the unnamed statement in one round trip and executes it in the next. Between the two pgbouncer may
# give the server connection to another client, whose unnamed statement is then the one that is executed, with the first
# client's parameters. Two goroutines update different columns of rows of their own: marks meant for one column
# land in the other, every call answers nil and "1 row".
# binary_parameters=yes sends both in one round trip, and none goes astray.
# Output seen: default: errors few true, updates that hit the other column more than 50 true
#              binary_parameters=yes: updates that hit the other column 0
set -euo pipefail
dir=$(mktemp -d)
server= pooler=
trap 'for p in $pooler $server; do kill -INT "$p"; wait "$p" || true; done; rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod
PATH=$PATH:/usr/sbin:$(echo /usr/lib/postgresql/*/bin)

mkdir data
as=()
if (( $(id -u) == 0 )); then chmod 711 . && chown postgres data && as=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi
timeout 120 "${as[@]}" "$(command -v initdb)" -D "$dir/data" -A trust -U postgres --no-sync >initdb.log
"${as[@]}" "$(command -v postgres)" -D "$dir/data" -c listen_addresses= -c unix_socket_directories="$dir/data" 2>server.log &
server=$!
cat >pooler.ini <<INI
[databases]
postgres = host=$dir/data user=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = $dir/data
listen_port = 6432
auth_type = any
pool_mode = transaction
default_pool_size = 2
ignore_startup_parameters = extra_float_digits
logfile = $dir/data/pooler.log
INI
"${as[@]}" "$(command -v pgbouncer)" -q pooler.ini 2>pooler.err &
pooler=$!

cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/lib/pq"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	direct, err := sql.Open("postgres", "host="+os.Args[1]+" user=postgres dbname=postgres sslmode=disable")
	check(err)
	for _, more := range []string{"", " binary_parameters=yes"} {
		pooled, err := sql.Open("postgres", "host="+os.Args[1]+" port=6432 user=postgres dbname=postgres sslmode=disable"+more)
		check(err)
		for _, db := range []*sql.DB{direct, pooled} {
			for range 100 {
				if err = db.Ping(); err == nil {
					break
				}
				time.Sleep(200 * time.Millisecond)
			}
			check(err)
		}
		// Rows below 10 are only ever marked read, the others only delivered.
		_, err = direct.Exec("DROP TABLE IF EXISTS receipt; CREATE TABLE receipt(id int PRIMARY KEY, read int DEFAULT 0, delivered int DEFAULT 0); INSERT INTO receipt SELECT generate_series(0, 19)")
		check(err)
		var failed atomic.Int32
		var workers sync.WaitGroup
		end := time.Now().Add(4 * time.Second)
		for id := range 20 {
			update := "UPDATE receipt SET read = read + 1 WHERE id = $1"
			if id >= 10 {
				update = "UPDATE receipt SET delivered = delivered + 1 WHERE id = $1"
			}
			workers.Go(func() {
				for time.Now().Before(end) {
					if _, err := pooled.Exec(update, id); err != nil {
						failed.Add(1)
					}
				}
			})
		}
		workers.Wait()
		var astray, right int
		check(direct.QueryRow("SELECT sum(CASE WHEN id < 10 THEN delivered ELSE read END), sum(CASE WHEN id < 10 THEN read ELSE delivered END) FROM receipt").Scan(&astray, &right))
		fmt.Fprintln(os.Stderr, "right", right, "astray", astray, "errors", failed.Load())
		if more == "" {
			fmt.Printf("default: errors few %v, updates that hit the other column more than 50 %v\n", int(failed.Load()) < (right+astray)/10, astray > 50)
		} else {
			fmt.Printf("binary_parameters=yes: updates that hit the other column %d\n", astray)
		}
		pooled.Close()
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/lib/pq@v1.12.3 2>/dev/null
timeout 300 go build -o probe .
timeout 120 ./probe "$dir/data" | tee out
diff out - <<'E'
default: errors few true, updates that hit the other column more than 50 true
binary_parameters=yes: updates that hit the other column 0
E
