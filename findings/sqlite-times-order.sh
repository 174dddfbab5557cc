#!/usr/bin/env bash
# ORDER BY on a time.Time that github.com/ncruces/go-sqlite3 stored is not the order of time.
# Versions: github.com/ncruces/go-sqlite3 v0.37.0 (database/sql driver); beside it github.com/mattn/go-sqlite3 v1.14.53.
# Expected: messages stored with sent_at TIMESTAMP come back by ORDER BY sent_at as they were sent.
# Seen: ncruces stores RFC 3339 text without trailing zeros, so "05Z" comes after "05.25Z" and "05.1Z" after "05.15Z":
# of five messages sent within 250 ms the first is listed last. One microsecond in ten ends in a zero, so a keyset
# page "WHERE sent_at > ?" skips or repeats about that share of its neighbours. mattn's text sorts rightly alone,
# but in one file used through both drivers every row of mattn's ("2026-01-02 03...") sorts before
# every row of ncruces's ("2026-01-02T03..."), whatever the time of day.
# Output seen: mattn [0ms 100ms 150ms 200ms 250ms]   ncruces [150ms 100ms 250ms 200ms 0ms]
#              one file, 8:00 stored by ncruces and 9:00 by mattn: [9:00 8:00]
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
)

func open(driver, file string) *sql.DB {
	db, err := sql.Open(driver, "file:"+file)
	if err != nil {
		panic(err)
	}
	exec(db, "CREATE TABLE IF NOT EXISTS message(name TEXT, sent_at TIMESTAMP)")
	return db
}

func exec(db *sql.DB, query string, args ...any) {
	if _, err := db.Exec(query, args...); err != nil {
		panic(err)
	}
}

func names(db *sql.DB) (out []string) {
	rows, err := db.Query("SELECT name FROM message ORDER BY sent_at")
	if err != nil {
		panic(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			panic(err)
		}
		out = append(out, name)
	}
	return out
}

func main() {
	second := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, driver := range []string{"sqlite3", "ncruces"} {
		db := open(driver, driver+".db")
		for _, after := range []time.Duration{0, 100, 150, 200, 250} {
			exec(db, "INSERT INTO message VALUES (?, ?)", fmt.Sprintf("%dms", after), second.Add(after*time.Millisecond))
		}
		fmt.Println(names(db))
		db.Close()
	}
	ncruces, mattn := open("ncruces", "both.db"), open("sqlite3", "both.db")
	exec(ncruces, "INSERT INTO message VALUES (?, ?)", "8:00", time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC))
	exec(mattn, "INSERT INTO message VALUES (?, ?)", "9:00", time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC))
	fmt.Println(names(mattn))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/mattn/go-sqlite3@v1.14.53 github.com/ncruces/go-sqlite3@v0.37.0 2>/dev/null
timeout 600 go build -o probe -ldflags='-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces' .
timeout 60 ./probe | tee out
diff out - <<'E'
[0ms 100ms 150ms 200ms 250ms]
[150ms 100ms 250ms 200ms 0ms]
[9:00 8:00]
E
