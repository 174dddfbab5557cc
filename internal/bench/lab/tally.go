package lab

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// Tally counts the statements that a pool sends to Postgres, those that begin and end transactions
// included.
type Tally struct{ n atomic.Int64 }

var _ pgx.QueryTracer = (*Tally)(nil)

// Statements returns how many there were.
func (t *Tally) Statements() int { return int(t.n.Load()) }

// TraceQueryStart implements [pgx.QueryTracer].
func (t *Tally) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	t.n.Add(1)
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (t *Tally) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
