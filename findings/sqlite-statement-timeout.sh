#!/usr/bin/env bash
# A time limit on one statement ends the whole SQLite transaction, and what follows on the same *sql.Tx is stored at once.
# Versions: modernc.org/sqlite v1.62.0, github.com/mattn/go-sqlite3 v1.14.53, github.com/ncruces/go-sqlite3 v0.37.0.
# Expected: tx.ExecContext(ctx, ...) whose own ctx ends fails alone, or fails the transaction for good, as on Postgres
# ("current transaction is aborted"). The ctx given to BeginTx is still live, and database/sql keeps the Tx usable.
# Seen with all three drivers: the interrupted INSERT rolls back everything before it, tx.Exec then answers nil and
# commits by itself, and Rollback cannot take that back: it fails with "no transaction is active".
# So "a message and its receipts, or neither" becomes receipts without their message, although nobody called Commit.
# Output seen, three times: slow insert failed, next exec <nil>, rollback failed, left in the table: 2
# (row 1 was written before the slow statement, row 2 after it; both belonged to the transaction rolled back)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=1

cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	_ "github.com/mattn/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // registered as "ncruces" by a linker flag
	_ "modernc.org/sqlite"
)

func main() {
	for _, driver := range []string{"sqlite", "sqlite3", "ncruces"} {
		db, err := sql.Open(driver, "file:"+driver+".db")
		if err != nil {
			panic(err)
		}
		if _, err := db.Exec("CREATE TABLE event(id INTEGER PRIMARY KEY)"); err != nil {
			panic(err)
		}
		tx, err := db.Begin()
		if err != nil {
			panic(err)
		}
		if _, err := tx.Exec("INSERT INTO event VALUES (1)"); err != nil {
			panic(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_, slow := tx.ExecContext(ctx, `INSERT INTO event(id)
			WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i < 50000000) SELECT i FROM n`)
		cancel()
		_, next := tx.Exec("INSERT INTO event VALUES (2)")
		rollback := tx.Rollback()
		var left string
		if err := db.QueryRow("SELECT group_concat(id) FROM event").Scan(&left); err != nil {
			panic(err)
		}
		fmt.Printf("slow insert failed %v, next exec %v, rollback failed %v, left in the table: %s\n",
			slow != nil, next, rollback != nil, left)
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get modernc.org/sqlite@v1.62.0 github.com/mattn/go-sqlite3@v1.14.53 github.com/ncruces/go-sqlite3@v0.37.0 2>/dev/null
timeout 600 go build -o probe -ldflags='-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces' .
timeout 120 ./probe | tee out
diff out - <<'E'
slow insert failed true, next exec <nil>, rollback failed true, left in the table: 2
slow insert failed true, next exec <nil>, rollback failed true, left in the table: 2
slow insert failed true, next exec <nil>, rollback failed true, left in the table: 2
E
