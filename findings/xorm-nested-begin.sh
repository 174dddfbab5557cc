#!/usr/bin/env bash
# xorm: a second Begin on a session answers nil, and the first Commit or Rollback after it ends the outer transaction.
# Versions: xorm.io/xorm v1.4.3 on modernc.org/sqlite v1.62.0.
# Expected: a helper that is handed a session and calls Begin ... Commit for its own part gets a savepoint, as with gorm,
# bun and Django, or an error. What the caller wrote before stays the caller's to commit or to undo.
# Seen: the inner Commit commits everything; later writes of the same session are stored one by one, and the caller's
# Rollback answers nil and undoes nothing. After an inner Rollback the caller's own earlier write is gone, its later
# ones are stored at once, and its Commit answers nil.
# Output seen: inner commit <nil>, outer rollback <nil>, stored: before inner after
#              inner rollback <nil>, outer commit <nil>, stored: after
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"fmt"
	"strings"

	_ "modernc.org/sqlite"
	"xorm.io/xorm"
)

type Message struct {
	Id   int64 `xorm:"pk autoincr"`
	Body string
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	engine, err := xorm.NewEngine("sqlite", "file:chat.db")
	check(err)
	check(engine.Sync(new(Message)))
	run := func(inner, outer func(*xorm.Session) error) (innerErr, outerErr error, stored string) {
		_, err := engine.Exec("DELETE FROM message")
		check(err)
		s := engine.NewSession()
		defer s.Close()
		insert := func(body string) {
			_, err := s.Insert(&Message{Body: body})
			check(err)
		}
		check(s.Begin())
		insert("before")
		check(s.Begin())
		insert("inner")
		innerErr = inner(s)
		insert("after")
		outerErr = outer(s)
		var bodies []string
		check(engine.Table("message").Cols("body").OrderBy("id").Find(&bodies))
		return innerErr, outerErr, strings.Join(bodies, " ")
	}
	commit, rollback := (*xorm.Session).Commit, (*xorm.Session).Rollback
	innerErr, outerErr, stored := run(commit, rollback)
	fmt.Printf("inner commit %v, outer rollback %v, stored: %s\n", innerErr, outerErr, stored)
	innerErr, outerErr, stored = run(rollback, commit)
	fmt.Printf("inner rollback %v, outer commit %v, stored: %s\n", innerErr, outerErr, stored)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get xorm.io/xorm@v1.4.3 modernc.org/sqlite@v1.62.0 2>/dev/null
timeout 600 go run . | tee out
diff out - <<'E'
inner commit <nil>, outer rollback <nil>, stored: before inner after
inner rollback <nil>, outer commit <nil>, stored: after
E
