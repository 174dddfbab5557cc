#!/usr/bin/env bash
# MariaDB's UUID type sorts by the last group of digits first, so ORDER BY id is not the order of the same ids anywhere else.
# Versions: MariaDB 10.11 from Debian (seen with 10.11.19), github.com/go-sql-driver/mysql v1.10.1.
# Expected: ids read as text compare as the column does, so that a keyset page ("WHERE id > last ORDER BY id"), a merge of
# two pages in Go, or a check of "sorted" agrees with the database.
# Seen: version 1 to 5 ids are compared from their last group backwards, version 6 and 7 ids as written, and every
# version 7 id sorts after every version 4 id. A Go program that reads on after the greatest id it holds repeats rows:
# five rows read in pages of two, each after slices.Max of the page before, come as nine.
# Output seen: Go:      01939000-...9 10000000-...4 20000000-...3 30000000-...2 40000000-...1
#              MariaDB: 40000000-...1 30000000-...2 20000000-...3 10000000-...4 01939000-...9
#              rows seen in pages of two: 9
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
	"fmt"
	"os"
	"slices"
	"strings"
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
	_, err = db.Exec("CREATE TABLE message(id UUID PRIMARY KEY)")
	check(err)
	ids := []string{
		"10000000-0000-4000-8000-000000000004", "20000000-0000-4000-8000-000000000003",
		"30000000-0000-4000-8000-000000000002", "40000000-0000-4000-8000-000000000001",
		"01939000-0000-7000-8000-000000000009",
	}
	for _, id := range ids {
		_, err := db.Exec("INSERT INTO message VALUES (?)", id)
		check(err)
	}
	query := func(q string, args ...any) (out []string) {
		rows, err := db.Query(q, args...)
		check(err)
		defer rows.Close()
		for rows.Next() {
			var id string
			check(rows.Scan(&id))
			out = append(out, id)
		}
		return out
	}
	short := func(ids []string) string {
		var out []string
		for _, id := range ids {
			out = append(out, id[:8]+"-..."+id[35:])
		}
		return strings.Join(out, " ")
	}
	fmt.Println("Go:     ", short(slices.Sorted(slices.Values(ids))))
	fmt.Println("MariaDB:", short(query("SELECT id FROM message ORDER BY id")))
	var seen []string
	page := query("SELECT id FROM message ORDER BY id LIMIT 2")
	for len(page) > 0 {
		seen = append(seen, page...)
		page = query("SELECT id FROM message WHERE id > ? ORDER BY id LIMIT 2", slices.Max(page))
	}
	fmt.Println("rows seen in pages of two:", len(seen))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/go-sql-driver/mysql@v1.10.1 2>/dev/null
timeout 300 go build -o probe .
timeout 120 ./probe "$dir/data/s" | tee out
diff out - <<'E'
Go:      01939000-...9 10000000-...4 20000000-...3 30000000-...2 40000000-...1
MariaDB: 40000000-...1 30000000-...2 20000000-...3 10000000-...4 01939000-...9
rows seen in pages of two: 9
E
