package demo

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"time"

	"github.com/alexedwards/scs/v2"
)

// sessionStore keeps sessions in the app's own table.
type sessionStore struct{ db *DB }

var _ scs.CtxStore = sessionStore{}

// FindCtx implements [scs.CtxStore].
func (s sessionStore) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	var text string
	query := s.db.bind("SELECT data FROM demo_sessions WHERE token = ? AND expires > ?")
	err = s.db.QueryRowContext(ctx, query, token, time.Now().Unix()).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	data, err = base64.StdEncoding.DecodeString(text)
	return data, err == nil, err
}

// CommitCtx implements [scs.CtxStore], and clears away what has expired.
func (s sessionStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	_, err = tx.ExecContext(ctx, s.db.bind("DELETE FROM demo_sessions WHERE token = ? OR expires <= ?"), token, time.Now().Unix())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, s.db.bind("INSERT INTO demo_sessions (token, data, expires) VALUES (?, ?, ?)"),
		token, base64.StdEncoding.EncodeToString(data), expiry.Unix())
	if err != nil {
		return err
	}
	return tx.Commit()
}

// DeleteCtx implements [scs.CtxStore].
func (s sessionStore) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.db.ExecContext(ctx, s.db.bind("DELETE FROM demo_sessions WHERE token = ?"), token)
	return err
}

// Find implements [scs.Store].
func (s sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements [scs.Store].
func (s sessionStore) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// Delete implements [scs.Store].
func (s sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
