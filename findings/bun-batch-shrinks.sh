#!/usr/bin/env bash
# bun takes elements out of the caller's slice when it inserts a batch, and leaves the others with wrong ids.
# Versions: github.com/uptrace/bun v1.3.0, dialect/sqlitedialect v1.3.0, modernc.org/sqlite v1.62.0; pgdialect and
# mysqldialect (MariaDB, INSERT IGNORE ... RETURNING) do the same.
# Expected: NewInsert().Model(&batch) fills in ids; the slice keeps its length, whatever the database says.
# Seen: On("CONFLICT (key) DO NOTHING") answers no row for what was there, bun scans the answers into the slice from its
# beginning and cuts it to their number: the last message is gone from the slice, though it was stored, and all after
# the repeated one carry another message's id. No error.
# A loop over the batch that then announces each message tells of wrong ids, and never of the last.
# Output seen: stored 4, in the slice 3;  a: id in the slice 2, in the table 2
#              b: id in the slice 4, in the table 1     (b was stored before the batch)
#              c: id in the slice 5, in the table 4
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite"
)

type Message struct {
	ID  int64  `bun:",pk,autoincrement"`
	Key string `bun:",unique"`
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	pool, err := sql.Open("sqlite", "file:chat.db")
	check(err)
	db := bun.NewDB(pool, sqlitedialect.New())
	_, err = db.NewCreateTable().Model((*Message)(nil)).Exec(ctx)
	check(err)
	_, err = db.NewInsert().Model(&Message{Key: "b"}).Exec(ctx)
	check(err)
	batch := []*Message{{Key: "a"}, {Key: "b"}, {Key: "c"}, {Key: "d"}}
	_, err = db.NewInsert().Model(&batch).On("CONFLICT (key) DO NOTHING").Exec(ctx)
	check(err)
	stored, err := db.NewSelect().Model((*Message)(nil)).Count(ctx)
	check(err)
	fmt.Printf("stored %d, in the slice %d\n", stored, len(batch))
	for _, m := range batch {
		var row Message
		check(db.NewSelect().Model(&row).Where("key = ?", m.Key).Scan(ctx))
		fmt.Printf("%s: id in the slice %d, in the table %d\n", m.Key, m.ID, row.ID)
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/uptrace/bun@v1.3.0 github.com/uptrace/bun/dialect/sqlitedialect@v1.3.0 modernc.org/sqlite@v1.62.0 2>/dev/null
timeout 600 go run . | tee out
diff out - <<'E'
stored 4, in the slice 3
a: id in the slice 2, in the table 2
b: id in the slice 4, in the table 1
c: id in the slice 5, in the table 4
E
