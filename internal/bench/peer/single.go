package peer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// Single is one full transaction per mark, over the library's tables: what a team writes that wants
// a receipt, exact counters, versions in commit order and an outbox, and does not batch.
var Single = Peer{Name: "single", Kind: engines.Postgres, Prepare: prepareOurs, Open: openSingle, Pending: []string{"truncate delivery_outbox"}}

type single struct {
	Fixture
	db *sql.DB
}

func openSingle(_ context.Context, e Env) (Marker, error) { return &single{e.Fixture, e.Pool}, nil }

func (s *single) Mark(ctx context.Context, i int) error {
	m := s.Marked(i)
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var conv, seq, version int64
	var sender string
	err = tx.QueryRowContext(ctx, `
		select m.conv, seq, name from delivery_messages m join delivery_readers on reader = sender where id = $1`, m.ID()).Scan(&conv, &seq, &sender)
	if err != nil {
		return err
	}
	if sender == m.User {
		return nil
	}
	err = tx.QueryRowContext(ctx, `update delivery_conversations set version = version + 1 where conv = $1 returning version`, conv).Scan(&version)
	if err != nil {
		return err
	}
	var reader int64
	err = tx.QueryRowContext(ctx, `select reader from delivery_readers where conv = $1 and name = $2`, conv, m.User).Scan(&reader)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, `
			insert into delivery_readers (conv, name, delivered_seq, read_seq) values ($1, $2, 0, 0) returning reader`, conv, m.User).Scan(&reader)
	}
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		insert into delivery_receipts (conv, seq, reader, status, version, delivered_at) values ($1, $2, $3, 2, $4, clock_timestamp())
		on conflict (conv, seq, reader) do update set status = 2, version = $4, delivered_at = clock_timestamp()
		where delivery_receipts.status < 2`, conv, seq, reader, version)
	if err != nil {
		return err
	}
	var delivered int
	err = tx.QueryRowContext(ctx, `
		update delivery_states set version = $3, delivered_count = delivered_count + 1, status = greatest(status, 2),
			delivered_at = coalesce(delivered_at, clock_timestamp())
		where conv = $1 and seq = $2 returning delivered_count`, conv, seq, version).Scan(&delivered)
	if err != nil {
		return err
	}
	payload := fmt.Sprintf(`{"c":%q,"x":%q,"i":%q,"u":%q,"s":2,"v":%d,"d":%d}`, Conversation(m.Conv), m.Socket, m.ID(), m.User, version, delivered)
	_, err = tx.ExecContext(ctx, `insert into delivery_outbox (ready_at, lease, attempts, payload) values (clock_timestamp(), 0, 0, $1)`, payload)
	if err != nil {
		return err
	}
	return tx.Commit()
}

func (s *single) Close() error { return nil }
