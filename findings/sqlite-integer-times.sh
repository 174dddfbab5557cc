#!/usr/bin/env bash
# The same integer in a DATETIME column is three different things through three SQLite drivers for Go.
# Versions: modernc.org/sqlite v1.62.0, github.com/mattn/go-sqlite3 v1.14.53, github.com/ncruces/go-sqlite3 v0.37.0.
# Expected: SQLite stores what it is given, and SELECT gives it back: 1767323045123456, a time in microseconds (as many
# chat tables hold it), is that number.
# Seen: scanned into any, modernc answers the int64. mattn sees DATETIME, takes a large number for milliseconds and
# answers a time.Time in another age; ncruces guesses the unit from the size and answers the right time.Time.
# Code that was tested with one driver reads garbage, or fails its type assertion, with another, and a helper written
# for mattn's milliseconds is silently wrong for microseconds. INTEGER as the column's type cures all three.
# Output seen: modernc: int64 1767323045123456
#              mattn: time.Time in the year 1857
#              ncruces: time.Time in the year 2026
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
	"time"

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
		_, err = db.Exec("CREATE TABLE message(sent_at DATETIME)")
		check(err)
		_, err = db.Exec("INSERT INTO message VALUES (?)", int64(1767323045123456))
		check(err)
		var sent any
		check(db.QueryRow("SELECT sent_at FROM message").Scan(&sent))
		if t, ok := sent.(time.Time); ok {
			fmt.Printf("%s: %T in the year %d\n", d.name, sent, t.UTC().Year())
		} else {
			fmt.Printf("%s: %T %v\n", d.name, sent, sent)
		}
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get modernc.org/sqlite@v1.62.0 github.com/mattn/go-sqlite3@v1.14.53 github.com/ncruces/go-sqlite3@v0.37.0 2>/dev/null
timeout 600 go build -o probe -ldflags='-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces' .
timeout 60 ./probe | tee out
diff out - <<'E'
modernc: int64 1767323045123456
mattn: time.Time in the year 1857
ncruces: time.Time in the year 2026
E
