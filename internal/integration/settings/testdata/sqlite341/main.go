// Command sqlite341 prints what Migrate, Validate and a store's first call say about SQLite 3.41, a
// line each.
package main

import (
	"context"
	"database/sql"
	"fmt"

	_ "github.com/glebarez/go-sqlite"

	"github.com/msgdelivery/delivery/sqlstore"
)

func main() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1)
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		panic(err)
	}
	fmt.Println(sqlstore.Migrate(ctx, db, sqlstore.SQLite))
	fmt.Println(sqlstore.Validate(ctx, db, sqlstore.SQLite))
	_, err = store.Load(ctx, []string{"m"})
	fmt.Println(err)
}
