#!/usr/bin/env bash
# UPDATE ... RETURNING through database/sql changes rows with some SQLite drivers, and nothing with another, if nobody reads.
# Versions: modernc.org/sqlite v1.62.0, github.com/mattn/go-sqlite3 v1.14.53, github.com/ncruces/go-sqlite3 v0.37.0.
# Expected: db.Query has run the statement when it returns nil, as Exec has; reading the rows is only about the answer.
# Seen: code that looks only at the error, or leaves after a check of its own, and closes the rows: modernc and mattn have
# changed all three rows, ncruces none. Query, Rows.Close and Rows.Err all answer nil in each case.
# A claim of outbox events whose caller gives up is so a lease with two drivers and no lease with the third, and a mark
# that is made by Query for the sake of a helper's type is never stored.
# Output seen: modernc: changed 3 of 3
#              mattn: changed 3 of 3
#              ncruces: changed 0 of 3
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=1

cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"

	_ "github.com/mattn/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // registered as "ncruces" by a linker flag
	_ "modernc.org/sqlite"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	for _, d := range []struct{ name, driver string }{{"modernc", "sqlite"}, {"mattn", "sqlite3"}, {"ncruces", "ncruces"}} {
		db, err := sql.Open(d.driver, "file:"+d.name+".db")
		check(err)
		_, err = db.Exec("CREATE TABLE receipt(id INTEGER PRIMARY KEY, status TEXT)")
		check(err)
		_, err = db.Exec("INSERT INTO receipt VALUES (1, 'sent'), (2, 'sent'), (3, 'sent')")
		check(err)
		rows, err := db.Query("UPDATE receipt SET status = 'read' RETURNING id")
		check(err)
		check(rows.Close())
		check(rows.Err())
		var read int
		check(db.QueryRow("SELECT count(*) FROM receipt WHERE status = 'read'").Scan(&read))
		fmt.Printf("%s: changed %d of 3\n", d.name, read)
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get modernc.org/sqlite@v1.62.0 github.com/mattn/go-sqlite3@v1.14.53 github.com/ncruces/go-sqlite3@v0.37.0 2>/dev/null
timeout 600 go build -o probe -ldflags='-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces' .
timeout 60 ./probe | tee out
diff out - <<'E'
modernc: changed 3 of 3
mattn: changed 3 of 3
ncruces: changed 0 of 3
E
