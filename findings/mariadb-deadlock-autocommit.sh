#!/usr/bin/env bash
# After a deadlock on MariaDB the same *sql.Tx goes on without a transaction: its next write stays although it is rolled back.
# Versions: MariaDB 10.11 from Debian (seen with 10.11.19), github.com/go-sql-driver/mysql v1.10.1, default settings.
# Expected: after error 1213 a *sql.Tx is dead, as on Postgres, where each later statement answers "current transaction
# is aborted"; or the driver returns an error from the next statement, since the server ended the transaction.
# Seen: the server undid the transaction and returned to autocommit. tx.Exec then answers nil and its row is visible to
# everybody at once; tx.Rollback answers nil and the row stays. tx.Commit would answer nil as well, with half the work.
# So code that logs a failed mark and goes on in the same transaction stores one part of "all or nothing".
# Output seen: deadlock error 1213
#              next exec <nil>, seen by others: event 2
#              rollback <nil>, left: event 2
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
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	db, err := sql.Open("mysql", "root@unix("+os.Args[1]+")/test")
	check(err)
	root, err := sql.Open("mysql", "root@unix("+os.Args[1]+")/")
	check(err)
	for range 100 {
		if err = root.Ping(); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	check(err)
	exec := func(to interface {
		Exec(string, ...any) (sql.Result, error)
	}, query string) {
		_, err := to.Exec(query)
		check(err)
	}
	exec(root, "CREATE DATABASE IF NOT EXISTS test")
	exec(db, "CREATE TABLE receipt(id INT PRIMARY KEY, status INT)")
	exec(db, "CREATE TABLE event(id INT PRIMARY KEY)")
	exec(db, "INSERT INTO receipt VALUES (1, 0), (2, 0)")

	a, err := db.Begin()
	check(err)
	b, err := db.Begin()
	check(err)
	for i := range 50 { // the server gives up the transaction that changed less
		exec(b, fmt.Sprintf("INSERT INTO event VALUES (%d)", 100+i))
	}
	exec(a, "INSERT INTO event VALUES (1)")
	exec(a, "UPDATE receipt SET status = 1 WHERE id = 1")
	exec(b, "UPDATE receipt SET status = 2 WHERE id = 2")
	waits := make(chan error)
	go func() { _, err := b.Exec("UPDATE receipt SET status = 2 WHERE id = 1"); waits <- err }()
	time.Sleep(time.Second)
	_, err = a.Exec("UPDATE receipt SET status = 1 WHERE id = 2")
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) {
		panic(err)
	}
	fmt.Println("deadlock error", refused.Number)
	check(<-waits)
	check(b.Rollback())

	events := func() (s string) {
		check(db.QueryRow("SELECT coalesce(group_concat(id), 'none') FROM event").Scan(&s))
		return s
	}
	_, err = a.Exec("INSERT INTO event VALUES (2)")
	fmt.Printf("next exec %v, seen by others: event %s\n", err, events())
	err = a.Rollback()
	fmt.Printf("rollback %v, left: event %s\n", err, events())
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/go-sql-driver/mysql@v1.10.1 2>/dev/null
timeout 300 go build -o probe .
timeout 120 ./probe "$dir/data/s" | tee out
diff out - <<'E'
deadlock error 1213
next exec <nil>, seen by others: event 2
rollback <nil>, left: event 2
E
