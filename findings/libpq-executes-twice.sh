#!/usr/bin/env bash
# One db.Exec of an INSERT through lib/pq stores two rows and answers nil.
# Versions: github.com/lib/pq v1.12.3, Postgres from Debian (seen with 15.19); beside it github.com/jackc/pgx/v5 v5.13.0.
# Expected: database/sql repeats a statement only on driver.ErrBadConn, which a driver "should not" return "if there's a
# possibility that the database server might have performed the operation".
# Seen: the server stores the row, the connection is closed before its answer arrives (a failover, a pooler restarted),
# lib/pq answers driver.ErrBadConn for the lost answer too, and database/sql runs the INSERT once more on another
# connection. The same with a prepared statement and with QueryRow ... RETURNING. pgx reports "unexpected EOF".
# A connection that is reset instead of closed gives lib/pq's callers an error.
# Output seen: lib/pq: error <nil>, rows 2
#              pgx:    error true, rows 1
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
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// cut makes the proxy close a connection in place of passing on the server's next answer.
var cut atomic.Bool

// proxy passes connections on to the server at socket.
func proxy(socket string) (port int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			check(err)
			go func() { io.Copy(server, client); server.Close() }()
			go func() {
				defer client.Close()
				defer server.Close()
				for buf := make([]byte, 1<<16); ; {
					n, err := server.Read(buf)
					if err != nil || cut.CompareAndSwap(true, false) {
						return
					}
					client.Write(buf[:n])
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func main() {
	dsn := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", proxy(os.Args[1]+"/.s.PGSQL.5432"))
	for _, driver := range []string{"postgres", "pgx"} {
		db, err := sql.Open(driver, dsn)
		check(err)
		for range 100 {
			if err = db.Ping(); err == nil {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		check(err)
		_, err = db.Exec("CREATE TABLE event_" + driver + "(id serial, what text)")
		check(err)
		insert, err := db.Prepare("INSERT INTO event_" + driver + "(what) VALUES ($1)")
		check(err)
		cut.Store(true)
		_, err = insert.Exec("read")
		var rows int
		check(db.QueryRow("SELECT count(*) FROM event_" + driver).Scan(&rows))
		if driver == "pgx" {
			fmt.Printf("pgx: error %v, rows %d\n", err != nil, rows)
		} else {
			fmt.Printf("lib/pq: error %v, rows %d\n", err, rows)
		}
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/lib/pq@v1.12.3 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
timeout 300 go build -o probe .
timeout 120 ./probe "$dir/data" | tee out
diff out - <<'E'
lib/pq: error <nil>, rows 2
pgx: error true, rows 1
E
