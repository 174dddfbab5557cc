//go:build !race

package orm

import (
	"context"
	"database/sql"
	"testing"

	"xorm.io/xorm"
	"xorm.io/xorm/core"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// openXorm gives xorm a pool of its own, which an engine closes when it is garbage.
func openXorm(t *testing.T, d engines.Database, _ *sql.DB) app {
	engine, err := xorm.NewEngineWithDB(d.Driver, d.DSN, core.FromDB(d.Open(t)))
	must(t, err)
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			_, err := engine.Transaction(func(session *xorm.Session) (any, error) {
				return nil, fn(inside{tx: session.Tx().Tx, add: func(id string) error {
					_, err := session.Context(ctx).Insert(&note{id})
					return err
				}})
			})
			return err
		},
		outside: map[string]delivery.DBTX{"engine.DB().DB": engine.DB().DB},
	}
}
