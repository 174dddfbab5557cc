package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/nameless"
)

// query returns all rows of a query, each read by scan.
func query[T any](ctx context.Context, q delivery.DBTX, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	return collect(ctx, q, nil, scan, text, args...)
}

// collect appends all rows of a query, each read by scan.
func collect[T any](ctx context.Context, q delivery.DBTX, all []T, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	err := each(ctx, q, scan, func(row T) bool {
		all = append(all, row)
		return true
	}, text, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// each hands on the rows of a query, each read by scan, until next says that it wants no more.
func each[T any](ctx context.Context, q delivery.DBTX, scan func(*sql.Rows) (T, error), next func(T) bool, text string, args ...any) error {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return err
		}
		if !next(row) {
			return nil
		}
	}
	return rows.Err()
}

// queryOne scans the one row of a query. Without a row the error is [sql.ErrNoRows].
func queryOne(ctx context.Context, q delivery.DBTX, columns []any, text string, args ...any) error {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		return cmp.Or(rows.Err(), sql.ErrNoRows)
	}
	if err := rows.Scan(columns...); err != nil {
		return err
	}
	return rows.Close()
}

// queryInto is query for rows of which there may be many, about n: each is read through the same
// columns.
func queryInto[T any](ctx context.Context, q delivery.DBTX, n int, columns func(*T) []any, text string, args ...any) ([]T, error) {
	return collect(ctx, q, make([]T, 0, n), into(columns), text, args...)
}

// into returns a scan that reads each row through the same columns.
func into[T any](columns func(*T) []any) func(*sql.Rows) (T, error) {
	var row, zero T
	to := columns(&row)
	return func(rows *sql.Rows) (T, error) {
		row = zero
		err := rows.Scan(to...)
		return row, err
	}
}

func scanInt(rows *sql.Rows) (n int64, err error) {
	err = rows.Scan(&n)
	return n, err
}

func scanString(rows *sql.Rows) (s string, err error) {
	err = rows.Scan(&s)
	return s, err
}

// addressed is a message as Create returns it if its id was taken, with the number of recipients,
// tracked or not. A deleted message keeps its id here: see [taken].
type addressed struct {
	delivery.Created
	recipients int
}

func scanAddressed(rows *sql.Rows) (a addressed, err error) {
	err = rows.Scan(append(messageColumns(&a.Message), orZero[string]{&a.Roster}, &a.recipients)...)
	strip(&a.Message)
	a.Gone = a.Message.Deleted
	a.Existed = !a.Gone
	return a, err
}

func scanExisting(rows *sql.Rows) (delivery.Created, error) {
	a, err := scanAddressed(rows)
	return a.Created, err
}

// taken is what Create returns of a message that has the id.
func taken(c delivery.Created) delivery.Created {
	if c.Gone {
		return delivery.Created{Gone: true}
	}
	return c
}

// scanReader scans a reader of a conversation, with the receipt of a message and the cap.
func scanReader(rows *sql.Rows) (r delivery.Receipt, err error) {
	var cap delivery.Status
	var f failure
	err = rows.Scan(slices.Concat([]any{&r.Recipient}, progressColumns(&r), []any{status{&cap}}, f.columns())...)
	r.Reason = delivery.ReasonFor(r, cap)
	return f.shownBy(r), err
}

// scanReasoned scans a receipt with the recipient's cap.
func scanReasoned(rows *sql.Rows) (r delivery.Receipt, err error) {
	var cap delivery.Status
	var f failure
	err = rows.Scan(slices.Concat(receiptColumns(&r), []any{status{&cap}}, f.columns())...)
	r.Reason = delivery.ReasonFor(r, cap)
	return f.shownBy(r), err
}

func scanReceipt(rows *sql.Rows) (r delivery.Receipt, err error) {
	var f failure
	err = rows.Scan(append(receiptColumns(&r), f.columns()...)...)
	return f.shownBy(r), err
}

func scanListed(rows *sql.Rows) (l listed, err error) {
	err = scanViewed(rows, &l.message, &l.cursor.Version, orZero[int64]{&l.cursor.Epoch}, orZero[int64]{&l.floor}, orZero[int64]{&l.rev})
	return l, err
}

// scanViewed scans some columns, and after them a message and the viewer's receipt.
func scanViewed(rows *sql.Rows, m *delivery.Message, before ...any) error {
	var own delivery.Receipt
	err := rows.Scan(slices.Concat(before, messageColumns(m), receiptColumns(&own))...)
	strip(m)
	if own.Status.Valid() {
		m.Own = (*delivery.Own)(&own)
	}
	return err
}

// strip makes what was scanned a tombstone, if the message was deleted.
func strip(m *delivery.Message) {
	if m.ID != "" && m.Quorum == 0 {
		*m = delivery.Message{Header: stripped(m.Header), Tally: delivery.Tally{Version: m.Version}, Deleted: true}
	}
}

// stripped is the header that a message still has, if it was deleted. Then it has no quorum. It has
// no sender either, but an old snapshot may lack a sender's name.
func stripped(h delivery.Header) delivery.Header {
	if h.Quorum == 0 {
		return delivery.Header{ID: h.ID, Conversation: h.Conversation, Seq: h.Seq}
	}
	return h
}

func scanDead(rows *sql.Rows) (d delivery.DeadLetter, err error) {
	var id int64
	var payload []byte
	var from source
	if err := rows.Scan(&id, &payload, orZero[string]{&from.body}, orZero[string]{&from.conversation}, &d.Attempts, &d.Reason, timestamp{&d.At}); err != nil {
		return d, err
	}
	d.Event = readEvent(id, payload, from)
	return d, nil
}

func messageColumns(m *delivery.Message) []any {
	return append(headerColumns(&m.Header), append([]any{orZero[string]{&m.Body}}, tallyColumns(&m.Tally)...)...)
}

func headerColumns(h *delivery.Header) []any {
	return []any{
		orZero[string]{&h.ID}, orZero[string]{&h.Conversation}, shown{&h.Sender}, orZero[int64]{&h.Seq},
		orZero[bool]{&h.Open}, orZero[int]{&h.Total}, orZero[int]{&h.Readers}, orZero[int]{&h.Quorum}, timestamp{&h.SentAt},
	}
}

func tallyColumns(t *delivery.Tally) []any {
	return []any{
		orZero[int64]{&t.Version}, status{&t.Status}, orZero[int]{&t.Delivered}, orZero[int]{&t.Read},
		timestamp{&t.DeliveredAt}, timestamp{&t.ReadAt}, orZero[int]{&t.Failed},
	}
}

func receiptColumns(r *delivery.Receipt) []any {
	return append([]any{orZero[string]{&r.Message}, orZero[string]{&r.Recipient}}, progressColumns(r)...)
}

// progressColumns are those of a receipt without its ids.
func progressColumns(r *delivery.Receipt) []any {
	return []any{status{&r.Status}, orZero[int64]{&r.Version}, timestamp{&r.DeliveredAt}, timestamp{&r.ReadAt}}
}

// orZero scans a column into *to, NULL as the zero value.
type orZero[T any] struct{ to *T }

func (o orZero[T]) Scan(src any) error {
	if same, ok := src.(T); ok {
		*o.to = same
		return nil
	}
	var n sql.Null[T]
	err := n.Scan(src)
	*o.to = n.V
	return err
}

// shown scans the name of a user into *to, NULL and that of an erased user as "".
type shown struct{ to *string }

func (s shown) Scan(src any) error {
	err := orZero[string](s).Scan(src)
	*s.to = nameless.Shown(*s.to)
	return err
}

// status scans a column into *to, NULL as the zero Status.
type status struct{ to *delivery.Status }

func (s status) Scan(src any) error {
	var n sql.Null[uint8]
	err := n.Scan(src)
	*s.to = delivery.Status(n.V)
	return err
}

// timestamp scans a column of microseconds or of a database's own type for times into *to, NULL as
// the zero time.
type timestamp struct{ to *time.Time }

func (t timestamp) Scan(src any) error {
	if at, ok := src.(time.Time); ok {
		*t.to = at.UTC()
		return nil
	}
	var n sql.Null[int64]
	err := n.Scan(src)
	*t.to = time.Time{}
	if n.Valid {
		*t.to = time.UnixMicro(n.V).UTC()
	}
	return err
}

// bit returns a boolean as JSON carries it to every database.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// idList returns distinct ids as the JSON array that travels to the database.
func idList(ids []string) string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return toJSON(slices.Compact(ids))
}

// toJSON returns a batch of rows as the one argument of a statement.
func toJSON[T any](rows []T) string {
	text, err := json.Marshal(rows)
	if err != nil {
		panic(err) // rows hold strings, numbers and nothing else
	}
	return string(text)
}
