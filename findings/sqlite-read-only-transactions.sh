#!/usr/bin/env bash
# Read-only transactions write: two of three SQLite drivers take sql.TxOptions and do nothing with it.
# Versions: modernc.org/sqlite v1.62.0, github.com/mattn/go-sqlite3 v1.14.53, github.com/ncruces/go-sqlite3 v0.37.0.
# Expected: an error. The documentation of driver.ConnBeginTx asks a driver to set a read-only transaction or to refuse,
# and BeginTx promises an error for an isolation level that the driver does not support.
# Seen: with modernc and mattn BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelReadUncommitted}) answers
# nil, an INSERT in that transaction answers nil, and Commit stores it: a "reader" that was meant to be held to reading
# writes. ncruces refuses the isolation level, and the write in a read-only transaction.
# Output seen: sqlite  begin <nil>, insert <nil>, commit <nil>, rows 1
#              sqlite3 begin <nil>, insert <nil>, commit <nil>, rows 1
#              ncruces begin with level fails true, insert fails true, rows 0
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

	_ "github.com/mattn/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // registered as "ncruces" by a linker flag
	_ "modernc.org/sqlite"
)

func main() {
	ctx := context.Background()
	rows := func(db *sql.DB) (n int) {
		if err := db.QueryRow("SELECT count(*) FROM receipt").Scan(&n); err != nil {
			panic(err)
		}
		return n
	}
	for _, driver := range []string{"sqlite", "sqlite3", "ncruces"} {
		db, err := sql.Open(driver, "file:"+driver+".db")
		if err != nil {
			panic(err)
		}
		if _, err := db.Exec("CREATE TABLE receipt(status TEXT)"); err != nil {
			panic(err)
		}
		tx, begin := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelReadUncommitted})
		if begin == nil {
			_, insert := tx.Exec("INSERT INTO receipt VALUES ('read')")
			fmt.Printf("%s begin %v, insert %v, commit %v, rows %d\n", driver, begin, insert, tx.Commit(), rows(db))
			continue
		}
		tx, err = db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			panic(err)
		}
		_, insert := tx.Exec("INSERT INTO receipt VALUES ('read')")
		tx.Rollback()
		fmt.Printf("%s begin with level fails %v, insert fails %v, rows %d\n", driver, begin != nil, insert != nil, rows(db))
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get modernc.org/sqlite@v1.62.0 github.com/mattn/go-sqlite3@v1.14.53 github.com/ncruces/go-sqlite3@v0.37.0 2>/dev/null
timeout 600 go build -o probe -ldflags='-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces' .
timeout 60 ./probe | tee out
diff out - <<'E'
sqlite begin <nil>, insert <nil>, commit <nil>, rows 1
sqlite3 begin <nil>, insert <nil>, commit <nil>, rows 1
ncruces begin with level fails true, insert fails true, rows 0
E
