package demo

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
)

// sessionStore keeps sessions in the app's own table. It remembers a session that it found for a
// [moment], so that a busy browser costs one statement per second and not one per request.
//
// A session that ends in this process is over at once. A session that ends in another process is
// over here when the moment has passed. To avoid that delay, send all requests of a user to one
// process.
type sessionStore struct {
	db *DB

	mu      sync.RWMutex
	recent  map[string]foundSession // by token
	changes int                     // of sessions, made here
}

type foundSession struct {
	data  []byte
	until time.Time // when it may no longer be taken for what is in the table
}

const (
	moment    = time.Second
	maxRecent = 10_000 // sessions remembered, of some hundred bytes each
)

var _ scs.CtxStore = (*sessionStore)(nil)

func newSessionStore(db *DB) *sessionStore {
	return &sessionStore{db: db, recent: make(map[string]foundSession)}
}

// FindCtx implements [scs.CtxStore].
func (s *sessionStore) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	now := time.Now()
	session, changes := s.recall(token)
	if now.Before(session.until) {
		return session.data, true, nil
	}
	var text string
	var expires int64
	query := s.db.bind("SELECT data, expires FROM demo_sessions WHERE token = ? AND expires > ?")
	err = s.db.QueryRowContext(ctx, query, token, now.Unix()).Scan(&text, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err == nil {
		data, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil {
		return nil, false, err
	}
	until := now.Add(moment)
	if end := time.Unix(expires, 0); end.Before(until) {
		until = end
	}
	s.remember(token, foundSession{data, until}, changes)
	return data, true, nil
}

// recall returns a session that was found before, and how many changes there have been until now.
func (s *sessionStore) recall(token string) (session foundSession, changes int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.recent[token], s.changes
}

// remember keeps a session that was found, unless a session has changed since the search began: the
// search may have found one that is gone now.
func (s *sessionStore) remember(token string, session foundSession, changes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes != changes {
		return
	}
	if len(s.recent) >= maxRecent {
		clear(s.recent) // most of it is out of date
	}
	s.recent[token] = session
}

// forget is called after every change, even after one that failed, because it may have been made.
func (s *sessionStore) forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.recent, token)
}

// CommitCtx implements [scs.CtxStore], and clears away what has expired.
func (s *sessionStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	defer s.forget(token)
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
func (s *sessionStore) DeleteCtx(ctx context.Context, token string) error {
	defer s.forget(token)
	_, err := s.db.ExecContext(ctx, s.db.bind("DELETE FROM demo_sessions WHERE token = ?"), token)
	return err
}

// Find implements [scs.Store].
func (s *sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements [scs.Store].
func (s *sessionStore) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// Delete implements [scs.Store].
func (s *sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// sessionCodec encodes sessions as JSON. Decoding JSON takes 10 % of the time of gob, which scs
// uses by default and which describes its types anew in each session.
type sessionCodec struct{}

var _ scs.Codec = sessionCodec{}

type sessionJSON struct {
	Deadline time.Time      `json:"deadline"`
	Values   map[string]any `json:"values"`
}

// Encode implements [scs.Codec].
func (sessionCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	return json.Marshal(sessionJSON{deadline, values})
}

// Decode implements [scs.Codec]. A session that it cannot decode, such as one of an older version,
// belongs to nobody.
func (sessionCodec) Decode(data []byte) (deadline time.Time, values map[string]any, err error) {
	var s sessionJSON
	if err := json.Unmarshal(data, &s); err != nil || s.Values == nil {
		return time.Time{}, map[string]any{}, nil
	}
	return s.Deadline, s.Values, nil
}
