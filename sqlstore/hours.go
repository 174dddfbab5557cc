package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/hourly"
)

// CountHour counts the messages of an hour, as [delivery.HourStore] says. It cannot run in a
// caller's transaction.
func (s *Store) CountHour(ctx context.Context) (bool, error) {
	if s.session.tx != nil {
		return false, errors.ErrUnsupported
	}
	return awaitWrite(ctx, s.session, "counting an hour", func() (bool, error) { return s.session.countHour(ctx) })
}

// Hours returns what was counted, as [delivery.HourStore] says.
func (s *Store) Hours(ctx context.Context, from time.Time, limit int) ([]delivery.Hour, error) {
	return awaitRead(ctx, s.session, "listing hours", func() (hours []delivery.Hour, err error) {
		err = s.session.read(ctx, func(q delivery.DBTX) error {
			all, err := queryInto(ctx, q, limit, (*hour).columns, s.session.say(selectHours+" AND made_at > 0 ORDER BY began_at LIMIT ?"), from.UnixMicro(), limit)
			hours = make([]delivery.Hour, len(all))
			for i := range all {
				hours[i] = all[i].Hour
			}
			return err
		})
		return hours, err
	})
}

const (
	countedFor = 7 * 24 * time.Hour // since an hour's beginning
	youngFor   = 2 * time.Hour      // likewise
	youngPause = 20                 // times as long as a count took, between those of a young hour
	countPause = 3                  // times as long as a read took
	countLease = 10 * time.Minute
	mostAtOnce = 5000 // messages of one read
)

// hour is a row of delivery_hours. It was never counted if its AsOf is 1970.
type hour struct {
	delivery.Hour
	ready int64
}

const selectHours = `
SELECT began_at, ready_at, made_at, messages, messages_delivered, messages_read, messages_deleted,
	recipients, recipients_delivered, recipients_read, to_delivered, to_read
FROM delivery_hours /*! FORCE INDEX (PRIMARY) */ WHERE began_at >= ?`

func (h *hour) columns() []any {
	return []any{
		timestamp{&h.Start}, &h.ready, timestamp{&h.AsOf}, &h.Messages.Sent, &h.Messages.Delivered, &h.Messages.Read, &h.Deleted,
		&h.Recipients.Sent, &h.Recipients.Delivered, &h.Recipients.Read, histogram{&h.ToDelivered}, histogram{&h.ToRead},
	}
}

// histogram scans a column of JSON.
type histogram struct{ to *delivery.Latencies }

func (h histogram) Scan(src any) error {
	var text string
	if err := (orZero[string]{&text}).Scan(src); err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), h.to)
}

// countHour puts the newest hour that is due under a lease, counts it, and stores the result unless
// another process has stored a newer one: the lease only spares work.
func (s *session) countHour(ctx context.Context) (bool, error) {
	older, now, err := s.claimHour(ctx)
	if err != nil || older == nil {
		return false, err
	}
	newer := delivery.Hour{Start: older.Start, AsOf: time.UnixMicro(now).UTC()}
	began := time.Now()
	if err := s.countMessages(ctx, &newer); err != nil {
		return false, err
	}
	ready := newer.AsOf.Add(countAgainAfter(newer.AsOf.Sub(newer.Start), time.Since(began))).UnixMicro()
	if hourly.Stays(older.Hour, newer) {
		newer = older.Hour
	}
	return true, s.write(ctx, func(q delivery.DBTX) error {
		return s.exec(ctx, q, `
UPDATE delivery_hours SET ready_at = ?, made_at = ?, messages = ?, messages_delivered = ?, messages_read = ?, messages_deleted = ?,
	recipients = ?, recipients_delivered = ?, recipients_read = ?, to_delivered = ?, to_read = ?
WHERE began_at = ? AND made_at <= ?`,
			ready, newer.AsOf.UnixMicro(), newer.Messages.Sent, newer.Messages.Delivered, newer.Messages.Read, newer.Deleted,
			newer.Recipients.Sent, newer.Recipients.Delivered, newer.Recipients.Read, toJSON(newer.ToDelivered[:]), toJSON(newer.ToRead[:]),
			newer.Start.UnixMicro(), newer.AsOf.UnixMicro())
	})
}

// countAgainAfter returns how long a count of an hour of that age lasts, which took so long.
func countAgainAfter(age, took time.Duration) time.Duration {
	if age < youngFor {
		age = min(age, youngPause*took)
	}
	return max(age, time.Minute)
}

// claimHour returns the newest hour that is due, as it was counted last, and nil if none is. It has
// put the hour under a lease. An hour without messages is passed over, unless it is this one: that
// it was counted shows that somebody counts.
func (s *session) claimHour(ctx context.Context) (due *hour, now int64, err error) {
	known := map[int64]*hour{}
	err = s.read(ctx, func(q delivery.DBTX) error {
		if err := queryOne(ctx, q, []any{&now}, "SELECT "+s.clock); err != nil {
			return err
		}
		clear(known)
		return each(ctx, q, into((*hour).columns), func(h hour) bool {
			known[h.Start.UnixMicro()] = &h
			return true
		}, s.say(selectHours), now-countedFor.Microseconds())
	})
	newest := now // when the newest message was stored of this hour and those before
	for at := now - now%time.Hour.Microseconds(); at > now-countedFor.Microseconds() && err == nil; at -= time.Hour.Microseconds() {
		h := known[at]
		if end := at + time.Hour.Microseconds(); h == nil && newest >= end {
			if newest, err = s.newestBefore(ctx, end); err != nil {
				break
			}
		}
		switch {
		case h == nil && newest < at, h != nil && h.ready > now:
			continue
		case h == nil:
			h = &hour{Hour: delivery.Hour{Start: time.UnixMicro(at).UTC(), AsOf: time.UnixMicro(0).UTC()}, ready: at}
		}
		if due, err = s.leaseHour(ctx, h, now); due != nil {
			return due, now, err
		}
	}
	return nil, 0, err
}

// newestBefore returns when the newest message was stored that was stored before a time, 0 if there
// is none.
func (s *session) newestBefore(ctx context.Context, at int64) (newest int64, err error) {
	err = s.read(ctx, func(q delivery.DBTX) error {
		found, err := query(ctx, q, scanInt, s.say("SELECT m.stored_at"+fromStored+" WHERE m.stored_at < ? ORDER BY m.stored_at DESC LIMIT 1"), at)
		newest = append(found, 0)[0]
		return err
	})
	return newest, err
}

// leaseHour puts an hour under a lease, and returns it, or nil if another process was faster.
func (s *session) leaseHour(ctx context.Context, h *hour, now int64) (leased *hour, err error) {
	at := h.Start.UnixMicro()
	err = s.write(ctx, func(q delivery.DBTX) error {
		leased = nil
		if h.ready == at {
			if err := s.exec(ctx, q, "INSERT INTO delivery_hours (began_at, ready_at) SELECT ?, ?"+s.keep("began_at"), at, h.ready); err != nil {
				return err
			}
		}
		result, err := q.ExecContext(ctx, s.say("UPDATE delivery_hours SET ready_at = ? WHERE began_at = ? AND ready_at = ?"), now+countLease.Microseconds(), at, h.ready)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		leased = h
		return nil
	})
	return leased, err
}

// countMessages counts the messages of an hour. It reads a part of them, up to a time, and pauses.
func (s *session) countMessages(ctx context.Context, h *delivery.Hour) error {
	columns := func(m *delivery.Message) []any {
		return append([]any{&m.Deleted, &m.Open, &m.Total, timestamp{&m.SentAt}}, tallyColumns(&m.Tally)...)
	}
	text := s.say(`
SELECT /*! STRAIGHT_JOIN */ m.sender IS NULL, m.roster IS NULL, m.total, m.sent_at, ` + tallyCols + fromStored +
		s.one("delivery_states t", "PRIMARY", "t.conv = m.conv AND t.seq = m.seq") + whereStored)
	from := h.Start.UnixMicro() - 1
	for last := from + time.Hour.Microseconds(); from < last; {
		var part delivery.Hour
		var to int64
		began := time.Now()
		err := s.read(ctx, func(q delivery.DBTX) (err error) {
			part = *h
			if to, err = s.storedUpTo(ctx, q, from, last, mostAtOnce); err != nil {
				return err
			}
			return each(ctx, q, into(columns), func(m delivery.Message) bool {
				hourly.Add(&part, m)
				return true
			}, text, from, to)
		})
		if err != nil {
			return err
		}
		if *h, from = part, to; from == last {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(countPause * time.Since(began)):
		}
	}
	return nil
}
