package sqlstore

import (
	"context"
	"database/sql"

	"github.com/msgdelivery/delivery"
)

// unreadEach fills in what is unread, one conversation after the other.
func (s *session) unreadEach(ctx context.Context, q delivery.DBTX, user string, all []delivery.Unread, limit int) error {
	for i := range all {
		u := &all[i]
		rows, err := query(ctx, q, func(rows *sql.Rows) (u delivery.Unread, err error) {
			var newest delivery.Position
			err = rows.Scan(&u.Version, &u.Count, orZero[string]{&u.First.ID}, orZero[int64]{&u.First.Seq}, orZero[string]{&newest.ID}, orZero[int64]{&newest.Seq})
			return u, err
		}, s.reads.pending, u.Conversation, user, limit+1)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			continue
		}
		rows[0].Conversation = u.Conversation
		if *u = rows[0]; u.Count > limit {
			u.Count, u.More = limit, true
		}
		text, args := s.reads.list(delivery.List{Conversation: u.Conversation, Before: delivery.Latest, Viewer: user}, 1)
		newest, err := query(ctx, q, scanListed, text, args...)
		if err != nil {
			return err
		}
		if newest[0].message.ID != "" {
			u.Newest = &newest[0].message
			u.Newest.Body = delivery.Preview(u.Newest.Body)
		}
	}
	return nil
}
