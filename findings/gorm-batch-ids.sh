#!/usr/bin/env bash
# GORM gives the rows of a batch the ids of other rows once one of them was there already.
# Versions: gorm.io/gorm v1.31.2 with github.com/glebarez/sqlite v1.11.0; gorm.io/driver/postgres v1.6.3 does the same.
# Expected: Create fills in the primary keys; with clause.OnConflict{DoNothing: true} a row that was not inserted keeps
# a zero id, as it does when it is created alone.
# Seen: INSERT ... ON CONFLICT DO NOTHING RETURNING id answers no row for what was there, GORM reads the answers in order,
# so each id from the repeated row on belongs to the row after it: no error, RowsAffected 3 of 4.
# A send that is repeated within a batch so puts its receipts under the id of somebody else's message.
# Output seen: a: id in the struct 2, in the table 2
#              b: id in the struct 4, in the table 1     (b was stored before the batch)
#              c: id in the struct 5, in the table 4
#              d: id in the struct 0, in the table 5
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type Message struct {
	ID  int64
	Key string `gorm:"uniqueIndex"`
}

func main() {
	db, err := gorm.Open(sqlite.Open("file:chat.db"), &gorm.Config{})
	if err != nil {
		panic(err)
	}
	if err := db.AutoMigrate(&Message{}); err != nil {
		panic(err)
	}
	if err := db.Create(&Message{Key: "b"}).Error; err != nil {
		panic(err)
	}
	batch := []*Message{{Key: "a"}, {Key: "b"}, {Key: "c"}, {Key: "d"}}
	if err := db.Clauses(clause.OnConflict{DoNothing: true}).Create(&batch).Error; err != nil {
		panic(err)
	}
	for _, m := range batch {
		var stored Message
		if err := db.Where("key = ?", m.Key).First(&stored).Error; err != nil {
			panic(err)
		}
		fmt.Printf("%s: id in the struct %d, in the table %d\n", m.Key, m.ID, stored.ID)
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get gorm.io/gorm@v1.31.2 github.com/glebarez/sqlite@v1.11.0 2>/dev/null
timeout 600 go run . | tee out
diff out - <<'E'
a: id in the struct 2, in the table 2
b: id in the struct 4, in the table 1
c: id in the struct 5, in the table 4
d: id in the struct 0, in the table 5
E
