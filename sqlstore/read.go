package sqlstore

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/filler"
	"github.com/msgdelivery/delivery/internal/nameless"
)

// reads holds a dialect's texts of the reading operations, with their arguments and columns. Ids
// travel as a JSON array of strings. Booleans may come as 0 and 1, times as NULL, as microseconds
// since 1970 or as the driver's [time.Time].
//
// A message is: id, conversation's id, sender, seq, open, total, readers, quorum, sent at, body,
// version, status, delivered, read, delivered at, read at, failed. A tombstone is a message whose
// sender is NULL: of the rest, only the ids, the seq and the version count. A receipt is: message's
// id, recipient, status, version, delivered at, read at. A failure is: code, version; NULLs if
// others see none, whatever the receipt's status is.
type reads struct {
	load       string // ids → message…, the key of its roster (NULL if it is open), the number of recipients; tombstones too
	receipts   string // [message] → receipt…, cap (or NULL, if that is of no matter), failure…, in order of the recipients
	receiptsOf string // [message, name] → receipt…, failure…; of those that exist

	// A row for each reader of the message's conversation, in order of the names: the name, and the
	// receipt without its ids, with a status of NULL where there is none, and the cap and the failure
	// as in receipts.
	readers string // message, after, limit

	// Lists: conversation's version, epoch, floor, the revision of the viewer's place, message…,
	// own receipt…, as a LEFT JOIN makes them: for an empty page, one row with both and NULLs.
	// Lists by seq have no tombstones.
	after   string // conversation, after, before, limit, viewer; the first ones in order of seq
	before  string // the same; the last ones, in descending order of seq
	changes string // conversation, after, limit, viewer; in order of version

	// A row for each conversation that exists: its version, the count, the first unread message's
	// id and seq, those of the first message at or after the flag, the user's place…, the private
	// status of the newest message, that message…, own receipt…. Columns without a value are NULL,
	// but for the message's conversation's id. The body may be cut.
	unread string // [conversation], user, limit → version, floor, count, id, seq, id, seq, place…, status, message…, receipt…
	twice  bool   // whether unread takes the limit less one after it

	dead    string // after, limit → id, payload, body, attempts, reason, at
	backlog string // → waiting, microseconds since the oldest was committed, until the newest will have been (NULLs if there is none), dead
}

// load returns the messages with these ids, as Create returns those whose ids are taken.
func (s *session) load(ctx context.Context, ids []string) (messages []delivery.Created, err error) {
	list := idList(ids)
	err = s.read(ctx, func(q delivery.DBTX) error {
		messages, err = query(ctx, q, scanExisting, s.reads.load, list)
		return err
	})
	return messages, err
}

// mostLooked is how many receipts a page of receipts looks at.
const mostLooked = 2000

// receipts reads a page. A message with few receipts has all of them read, and sorted by name. Of
// one with many, the conversation's readers are looked through, in the order of the index.
func (s *session) receipts(ctx context.Context, list delivery.ReceiptList) (page delivery.ReceiptPage, err error) {
	err = s.read(ctx, func(q delivery.DBTX) error {
		page = delivery.ReceiptPage{}
		found, err := query(ctx, q, scanAddressed, s.reads.load, idList([]string{list.Message}))
		if err != nil || len(found) == 0 || found[0].Gone {
			return err
		}
		many := found[0].recipients
		if found[0].Message.Open {
			many = found[0].Message.Delivered
		}
		if many > mostLooked {
			return s.lookThrough(ctx, q, list, &page)
		}
		return each(ctx, q, scanReasoned, func(r delivery.Receipt) bool {
			return r.Recipient <= list.After || put(&page, list, r)
		}, s.reads.receipts, idList([]string{list.Message}))
	})
	for i := range page.Receipts {
		page.Receipts[i].Recipient = nameless.Shown(page.Receipts[i].Recipient)
	}
	return page, err
}

// put puts a receipt on the page, if it belongs there, and reports whether there was room.
func put(page *delivery.ReceiptPage, list delivery.ReceiptList, r delivery.Receipt) bool {
	if !r.Status.Valid() || !list.On(r) {
		return true
	}
	if n := len(page.Receipts); n == list.Limit {
		page.More, page.Next = true, page.Receipts[n-1].Recipient
		return false
	}
	r.Message = list.Message
	page.Receipts = append(page.Receipts, r)
	return true
}

// lookThrough fills the page in pieces, each twice as long as the one before: with a status, few of
// the readers may be on the page. Where the page is cut depends on the receipts alone, and it names
// none but recipients: who has marked for itself alone is a reader too.
func (s *session) lookThrough(ctx context.Context, q delivery.DBTX, list delivery.ReceiptList, page *delivery.ReceiptPage) error {
	after, last, looked := list.After, list.After, 0
	for piece := list.Limit + 1; ; piece = min(2*piece, mostLooked) {
		rows := 0
		err := each(ctx, q, scanReader, func(r delivery.Receipt) bool {
			rows++
			after = r.Recipient
			if !r.Status.Valid() {
				return true
			}
			if looked == mostLooked {
				page.More, page.Next = true, last
				return false
			}
			looked++
			last = r.Recipient
			return put(page, list, r)
		}, s.reads.readers, list.Message, after, piece)
		if err != nil || page.More || rows < piece {
			return err
		}
	}
}

func (s *session) receiptsOf(ctx context.Context, keys []delivery.ReceiptKey) (receipts []delivery.Receipt, err error) {
	rows := make([]row, len(keys))
	for i, k := range keys {
		rows[i] = row{k.Message, k.Recipient}
	}
	err = s.read(ctx, func(q delivery.DBTX) error {
		receipts, err = query(ctx, q, scanReceipt, s.reads.receiptsOf, toJSON(rows))
		return err
	})
	return receipts, err
}

// listed is one row of a list.
type listed struct {
	cursor  delivery.Cursor
	floor   int64
	rev     int64 // of the viewer's place
	message delivery.Message
}

// firstPiece is how many rows the first statement of a list asks for, where the page has a limit in
// bytes: those of a page of the usual length, and one to see whether there is more. Each further
// statement asks for twice as many, so that few rows are read in vain when messages are large.
const firstPiece = 50 + 1

// list reads a page in one piece, or in several pieces of one snapshot: where the conversation has
// changed since the first, the page ends before.
func (s *session) list(ctx context.Context, l delivery.List) (page delivery.Page, err error) {
	err = s.read(ctx, func(q delivery.DBTX) error {
		filling, cursor, floor := filler.Filler{List: l}, (*delivery.Cursor)(nil), int64(0)
		rest, piece, tombstones, rev := l, firstPiece, false, int64(0)
		for rest.Limit++; ; piece = min(2*piece, delivery.MaxBatch+1) {
			rows, last := rest.Limit, delivery.Message{}
			if tombstones { // there may be many more
				rows = max(rows, piece)
			}
			if l.Bytes > 0 {
				rows = min(rows, piece)
			}
			if rest.Limit > l.Limit {
				cursor = nil // nothing is on the page yet
			}
			text, args := s.reads.list(rest, rows)
			n, passed, room := 0, 0, true
			err := each(ctx, q, scanListed, func(row listed) bool {
				if cursor == nil {
					cursor, floor = &row.cursor, row.floor
				}
				if last = row.message; last.ID == "" {
					return false
				}
				rev = row.rev
				n++
				switch {
				case row.cursor != *cursor:
					room = filling.End()
				case last.Deleted && l.After == 0:
					passed++
				default:
					room = filling.Add(last)
				}
				return room
			}, text, args...)
			if err != nil || cursor == nil {
				page = delivery.Page{}
				return err
			}
			tombstones = passed > 0
			if rest.Limit -= n - passed; !room || n < rows || rest.Limit == 0 {
				page = filling.Done(*cursor)
				page.Floor = floor
				if rev > 0 {
					return s.viewPage(ctx, q, l, page.Messages)
				}
				return nil
			}
			switch {
			case l.Changes:
				rest.After = last.Version
			case l.Before != 0:
				rest.Before = last.Seq
			default:
				rest.After = last.Seq
			}
		}
	})
	return page, err
}

// list returns the statement of a list, for so many rows.
func (r *reads) list(l delivery.List, rows int) (text string, args []any) {
	switch {
	case l.Changes:
		return r.changes, []any{l.Conversation, l.After, rows, l.Viewer}
	case l.Before != 0:
		return r.before, []any{l.Conversation, l.After, l.Before, rows, l.Viewer}
	}
	return r.after, []any{l.Conversation, l.After, int64(math.MaxInt64), rows, l.Viewer}
}

func (s *session) unread(ctx context.Context, user string, conversations []string, limit int) (all []delivery.Unread, err error) {
	at := make(map[string]int, len(conversations))
	for i, c := range conversations {
		at[c] = i
	}
	args := []any{toJSON(conversations), user, limit + 1}
	if s.reads.twice {
		args = append(args, limit)
	}
	err = s.read(ctx, func(q delivery.DBTX) error {
		all = make([]delivery.Unread, len(conversations))
		for i, c := range conversations {
			all[i].Conversation = c
		}
		return each(ctx, q, scanUnread, func(row unreadRow) bool {
			u := row.Unread
			if u.Newest != nil && u.Place.Rev > 0 {
				view(u.Newest, user, row.private, u.Place)
			}
			if u.More = u.Count > limit; u.More {
				u.Count = limit
			}
			if i, asked := at[u.Conversation]; asked {
				all[i] = u
			}
			return true
		}, s.reads.unread, args...)
	})
	return all, err
}

// unreadRow is an answer of the statement of unread counts.
type unreadRow struct {
	delivery.Unread
	private delivery.Status // what is kept of private marks of the newest message
}

func scanUnread(rows *sql.Rows) (u unreadRow, err error) {
	var newest delivery.Message
	var flagged delivery.Position
	var place ownPlace
	var private delivery.Status
	before := []any{&u.Version, &u.Floor, &u.Count}
	for _, p := range []*delivery.Position{&u.First, &flagged} {
		before = append(before, orZero[string]{&p.ID}, orZero[int64]{&p.Seq})
	}
	err = scanViewed(rows, &newest, append(append(before, place.columns()...), status{&private})...)
	u.Conversation, u.Place = newest.Conversation, place.place()
	if u.Flagged = flagged.Seq > 0; u.Flagged && (u.First.Seq == 0 || flagged.Seq < u.First.Seq) {
		u.First = flagged
	}
	if newest.ID != "" {
		newest.Body = delivery.Preview(newest.Body)
		u.Newest, u.private = &newest, private
	}
	return u, err
}

func (s *session) dead(ctx context.Context, after int64, limit int) (dead []delivery.DeadLetter, err error) {
	err = s.read(ctx, func(q delivery.DBTX) error {
		dead, err = query(ctx, q, scanDead, s.reads.dead, after, limit)
		return err
	})
	return dead, err
}

func (s *session) backlog(ctx context.Context) (b delivery.Backlog, err error) {
	err = s.read(ctx, func(q delivery.DBTX) error {
		var oldest, ahead sql.NullInt64
		err := queryOne(ctx, q, []any{&b.Waiting, &oldest, &ahead, &b.Dead}, s.reads.backlog)
		b.Oldest = max(0, time.Duration(oldest.Int64)*time.Microsecond)
		b.Ahead = max(0, time.Duration(ahead.Int64)*time.Microsecond)
		return err
	})
	return b, err
}
