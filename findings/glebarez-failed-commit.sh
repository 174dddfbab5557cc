#!/usr/bin/env bash
# After a failed COMMIT, glebarez/go-sqlite gives the pool a connection whose transaction is still open.
# Versions: github.com/glebarez/go-sqlite v1.23.0; for comparison modernc.org/sqlite v1.55.0 (which it is a fork of).
# Expected: database/sql regards a transaction as ended once Commit has answered, also with an error, so the next
# statement of the pool runs on its own. modernc.org/sqlite rolls back when COMMIT fails.
# Seen with glebarez/go-sqlite: COMMIT fails (a deferred foreign key; SQLITE_BUSY at COMMIT does the same), the next
# db.Exec answers nil, but its row joins the dead transaction: no other connection sees it, db.Begin fails with
# "cannot start a transaction within a transaction", and the row is gone when the pool closes.
# Output seen: glebarez: commit failed true, next exec <nil>, seen elsewhere 0, begin fails true, after close 0
#              modernc:  commit failed true, next exec <nil>, seen elsewhere 1, begin fails false, after close 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

try() { # MODULE VERSION NAME
	mkdir "$3" && cd "$3"
	cat >main.go <<-GO
		package main

		import (
			"database/sql"
			"fmt"

			_ "$1"
		)

		func main() {
			open := func() *sql.DB {
				db, err := sql.Open("sqlite", "file:chat.db?_pragma=foreign_keys(1)&_pragma=busy_timeout(2000)")
				if err != nil {
					panic(err)
				}
				db.SetMaxOpenConns(1)
				return db
			}
			db, other := open(), open()
			for _, q := range []string{
				"CREATE TABLE message(id INTEGER PRIMARY KEY)",
				"CREATE TABLE receipt(message INTEGER REFERENCES message(id) DEFERRABLE INITIALLY DEFERRED)",
			} {
				if _, err := db.Exec(q); err != nil {
					panic(err)
				}
			}
			count := func() (n int) {
				if err := other.QueryRow("SELECT count(*) FROM message").Scan(&n); err != nil {
					panic(err)
				}
				return n
			}
			tx, err := db.Begin()
			if err != nil {
				panic(err)
			}
			if _, err := tx.Exec("INSERT INTO receipt VALUES (42)"); err != nil {
				panic(err)
			}
			committed := tx.Commit()
			_, next := db.Exec("INSERT INTO message VALUES (1)")
			seen := count()
			again, begin := db.Begin()
			if begin == nil {
				again.Rollback()
			}
			db.Close()
			fmt.Printf("$3: commit failed %v, next exec %v, seen elsewhere %d, begin fails %v, after close %d\n",
				committed != nil, next, seen, begin != nil, count())
		}
	GO
	go mod init probe 2>/dev/null
	timeout 300 go get "$1@$2" 2>/dev/null
	timeout 600 go run . | tee -a ../out
	cd ..
}
try github.com/glebarez/go-sqlite v1.23.0 glebarez
try modernc.org/sqlite v1.55.0 modernc
diff out - <<'E'
glebarez: commit failed true, next exec <nil>, seen elsewhere 0, begin fails true, after close 0
modernc: commit failed true, next exec <nil>, seen elsewhere 1, begin fails false, after close 1
E
