//go:build !race

package orm

import (
	"context"
	"crypto/rand"
	"database/sql"
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func openGormDB(t *testing.T, d engines.Database, pool *sql.DB, config gorm.Config) *gorm.DB {
	t.Helper()
	dialectors := map[engines.Kind]gorm.Dialector{
		engines.SQLite:   sqlite.New(sqlite.Config{Conn: pool}),
		engines.Postgres: postgres.New(postgres.Config{Conn: pool}),
		engines.MySQL:    mysql.New(mysql.Config{Conn: pool}),
	}
	config.Logger = logger.Discard
	db, err := gorm.Open(dialectors[d.Kind], &config)
	must(t, err)
	return db
}

func insideGorm(tx *gorm.DB) inside {
	return inside{
		tx:  tx.Statement.ConnPool,
		add: func(id string) error { return tx.Create(&note{id}).Error },
		within: func(fn func(inside) error) error {
			return tx.Transaction(func(tx *gorm.DB) error { return fn(insideGorm(tx)) })
		},
	}
}

func openGorm(t *testing.T, d engines.Database, pool *sql.DB) app {
	return appOfGorm(t, openGormDB(t, d, pool, gorm.Config{}))
}

func openGormPrepared(t *testing.T, d engines.Database, pool *sql.DB) app {
	return appOfGorm(t, openGormDB(t, d, pool, gorm.Config{PrepareStmt: true}))
}

func appOfGorm(t *testing.T, db *gorm.DB) app {
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return fn(insideGorm(tx)) })
		},
		outside: map[string]delivery.DBTX{
			"db.Statement.ConnPool":                  db.Statement.ConnPool,
			"db.WithContext(ctx).Statement.ConnPool": db.WithContext(t.Context()).Statement.ConnPool,
		},
	}
}

// openGormUnprepared hands over the transaction beneath, which prepares nothing.
func openGormUnprepared(t *testing.T, d engines.Database, pool *sql.DB) app {
	db := openGormDB(t, d, pool, gorm.Config{PrepareStmt: true})
	return app{transact: func(ctx context.Context, fn func(inside) error) error {
		return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			return fn(inside{tx: tx.Statement.ConnPool.(*gorm.PreparedStmtTX).Tx, add: insideGorm(tx).add})
		})
	}}
}

// hooked is a row whose hook runs in the transaction that gorm begins for each write.
type hooked struct {
	ID    string
	after func(tx *gorm.DB) error
}

func (hooked) TableName() string { return "notes" }

func (h *hooked) AfterCreate(tx *gorm.DB) error { return h.after(tx) }

func openGormHook(t *testing.T, d engines.Database, pool *sql.DB) app {
	create := func(db *gorm.DB, after func(tx *gorm.DB) error) error {
		return db.Create(&hooked{"hook " + rand.Text(), after}).Error
	}
	db := openGormDB(t, d, pool, gorm.Config{})
	a := app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			return create(db.WithContext(ctx), func(tx *gorm.DB) error { return fn(insideGorm(tx)) })
		},
		outside: map[string]delivery.DBTX{},
	}
	must(t, create(db.Session(&gorm.Session{SkipDefaultTransaction: true}), func(tx *gorm.DB) error {
		a.outside["tx.Statement.ConnPool with SkipDefaultTransaction"] = tx.Statement.ConnPool
		return nil
	}))
	return a
}
