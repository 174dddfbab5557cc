#!/usr/bin/env bash
# A write that ended with "context deadline exceeded" is stored by MariaDB later, after its caller has gone.
# Versions: MariaDB 10.11 from Debian (seen with 10.11.19), github.com/go-sql-driver/mysql v1.10.1, default settings.
# Expected: the driver's README says "Queries can be cancelled or timed out using context"; pgx and lib/pq, for one, tell
# the Postgres server to cancel, so a write whose ctx ended while it waited for a lock changes nothing.
# Seen: the driver closes its connection and the server does not look: the UPDATE keeps its place in the queue of the row
# lock, up to innodb_lock_wait_timeout (50 s), and is stored as soon as the lock is free.
# So a mark or an edit that was reported as failed lands over what another caller has written since the lock was freed.
# Output seen: update: context deadline exceeded
#              1 s after the deadline: draft
#              after the other transaction ended: edited
set -euo pipefail
dir=$(mktemp -d)
server=
trap '[[ -z $server ]] || { kill "$server"; wait "$server" || true; }; rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod PATH=$PATH:/usr/sbin

mkdir data
as=()
if (( $(id -u) == 0 )); then chmod 711 . && chown mysql data && as=(--user=mysql); fi
timeout 120 mariadb-install-db --no-defaults "${as[@]}" --datadir="$dir/data" --auth-root-authentication-method=normal >install.log 2>&1
mariadbd --no-defaults "${as[@]}" --datadir="$dir/data" --socket="$dir/data/s" --skip-networking 2>server.log &
server=$!

cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	root, err := sql.Open("mysql", "root@unix("+os.Args[1]+")/")
	check(err)
	for range 100 {
		if err = root.Ping(); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	check(err)
	_, err = root.Exec("CREATE DATABASE IF NOT EXISTS test")
	check(err)
	db, err := sql.Open("mysql", "root@unix("+os.Args[1]+")/test")
	check(err)
	_, err = db.Exec("CREATE TABLE message(id INT PRIMARY KEY, body VARCHAR(20))")
	check(err)
	_, err = db.Exec("INSERT INTO message VALUES (1, 'draft')")
	check(err)
	body := func() (s string) {
		check(db.QueryRow("SELECT body FROM message WHERE id = 1").Scan(&s))
		return s
	}

	other, err := db.Begin()
	check(err)
	_, err = other.Exec("SELECT body FROM message WHERE id = 1 FOR UPDATE")
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err = db.ExecContext(ctx, "UPDATE message SET body = 'edited' WHERE id = 1")
	fmt.Println("update:", err)
	time.Sleep(time.Second)
	fmt.Println("1 s after the deadline:", body())
	check(other.Rollback())
	time.Sleep(time.Second)
	fmt.Println("after the other transaction ended:", body())
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/go-sql-driver/mysql@v1.10.1 2>/dev/null
timeout 300 go build -o probe .
timeout 120 ./probe "$dir/data/s" | tee out
diff out - <<'E'
update: context deadline exceeded
1 s after the deadline: draft
after the other transaction ended: edited
E
