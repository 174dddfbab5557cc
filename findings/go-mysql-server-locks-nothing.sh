#!/usr/bin/env bash
# dolthub/go-mysql-server takes FOR UPDATE SKIP LOCKED and locks nothing: two workers claim one event, an increment is lost.
# Versions: github.com/dolthub/go-mysql-server v0.20.0 (memory tables), github.com/go-sql-driver/mysql v1.10.1, on loopback.
# Expected: a MySQL server for tests either locks the rows or refuses the clause, as it refuses other things it lacks.
# Seen: two transactions claim the first event with SELECT ... FOR UPDATE SKIP LOCKED and get the same one, without
# waiting. Two transactions that read a counter FOR UPDATE and add 1 both commit with nil, and it has grown by 1. A test
# of an outbox or of counts that runs there passes with one worker, and proves nothing about two.
# Output seen: claimed by a: event 1, by b: event 1
#              two increments committed <nil> <nil>, counter 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	stdsql "database/sql"
	"fmt"
	"io"
	"net"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/server"
	"github.com/dolthub/go-mysql-server/sql"
	_ "github.com/go-sql-driver/mysql"
	"github.com/sirupsen/logrus"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	logrus.SetOutput(io.Discard)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	chat := memory.NewDatabase("chat")
	chat.EnablePrimaryKeyIndexes()
	provider := memory.NewDBProvider(chat)
	engine := sqle.NewDefault(provider)
	s, err := server.NewServer(server.Config{Protocol: "tcp", Listener: listener}, engine, sql.NewContext, memory.NewSessionBuilder(provider), nil)
	check(err)
	go s.Start()
	defer s.Close()

	db, err := stdsql.Open("mysql", "root@tcp("+listener.Addr().String()+")/chat")
	check(err)
	for _, q := range []string{
		"CREATE TABLE event(id INT PRIMARY KEY)", "INSERT INTO event VALUES (1), (2)",
		"CREATE TABLE counter(id INT PRIMARY KEY, n INT)", "INSERT INTO counter VALUES (1, 0)",
	} {
		_, err := db.Exec(q)
		check(err)
	}
	begin := func() *stdsql.Tx {
		tx, err := db.Begin()
		check(err)
		return tx
	}
	number := func(tx *stdsql.Tx, query string) (n int) {
		check(tx.QueryRow(query).Scan(&n))
		return n
	}
	a, b := begin(), begin()
	const claim = "SELECT id FROM event ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
	fmt.Printf("claimed by a: event %d, by b: event %d\n", number(a, claim), number(b, claim))
	check(a.Rollback())
	check(b.Rollback())

	a, b = begin(), begin()
	const read = "SELECT n FROM counter WHERE id = 1 FOR UPDATE"
	ofA, ofB := number(a, read), number(b, read)
	_, err = a.Exec("UPDATE counter SET n = ? WHERE id = 1", ofA+1)
	check(err)
	first := a.Commit()
	_, err = b.Exec("UPDATE counter SET n = ? WHERE id = 1", ofB+1)
	check(err)
	second := b.Commit()
	var n int
	check(db.QueryRow("SELECT n FROM counter").Scan(&n))
	fmt.Printf("two increments committed %v %v, counter %d\n", first, second, n)
}
GO
go mod init probe 2>/dev/null
timeout 400 go get github.com/dolthub/go-mysql-server@v0.20.0 github.com/go-sql-driver/mysql@v1.10.1 2>/dev/null
timeout 600 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
claimed by a: event 1, by b: event 1
two increments committed <nil> <nil>, counter 1
E
