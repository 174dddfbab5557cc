package observer

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/spy"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// A statement more in an answer to alice takes time, and so do its rows. How much is for the
// machine to say, so the statements themselves are compared.
func TestAnswersTakeNoOtherStatementsForWhatIsHidden(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		for _, name := range told(t, e, func(s *sqlstore.Store, _ *sql.DB) delivery.Store { return s }) {
			t.Errorf("hidden marks show in the statements of: %s", name)
		}
	})
}

func TestStatementsNoticeAnswersThatLookAtPrivateMarks(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		got := told(t, e, func(s *sqlstore.Store, db *sql.DB) delivery.Store { return &asking{Store: s, db: db} })
		if want := []string{"mark", "page", "receipts"}; !slices.Equal(got, want) {
			t.Errorf("noticed in %q, want %q", got, want)
		}
	})
}

// told returns the kinds of alice's calls that take other statements in a conversation in which bob
// has hidden marks than in one in which he made none.
func told(t *testing.T, e engines.Engine, broken func(*sqlstore.Store, *sql.DB) delivery.Store) (names []string) {
	t.Helper()
	db, sent := spy.Open(e.Database(t), t)
	stores.Migrate(t, e, db)
	tracker := stores.Tracker(t, broken(stores.Open(t, e, db), db))
	ctx := t.Context()
	for i, k := range kinds {
		var took [2]string
		for hidden := range took {
			conversation := fmt.Sprintf("%d/%d", i, hidden)
			m := delivery.MessageRef{Conversation: conversation, ID: conversation + " m"}
			if _, err := tracker.Send(ctx, draft("carol", m.Conversation, m.ID)); err != nil {
				t.Fatal(err)
			}
			if hidden == 1 {
				bob := delivery.Actor{User: "bob", Hide: delivery.HideAll}
				if _, err := tracker.MarkRead(ctx, bob, m.ID); err != nil {
					t.Fatal(err)
				}
				if _, err := tracker.MarkUnread(ctx, bob, m.ID); err != nil {
					t.Fatal(err)
				}
			}
			sent.Take()
			if err := k.call(ctx, tracker, m); err != nil {
				t.Fatal(err)
			}
			took[hidden] = strings.Join(sent.Take(), "\n")
		}
		if took[0] != took[1] {
			names = append(names, k.name)
		}
	}
	return names
}

// conversationOf returns the conversation of a message of [probe].
func conversationOf(message string) string {
	conversation, _, _ := strings.Cut(message, " ")
	return conversation
}

// asking looks at the private marks for each answer about a conversation in which somebody has made
// some.
type asking struct {
	*sqlstore.Store
	private
	db *sql.DB
}

func (s *asking) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	s.remember(marks)
	return s.Store.AdvanceOwn(ctx, marks, lease)
}

func (s *asking) ask(ctx context.Context, conversation string) error {
	if !s.in(func(m delivery.OwnMark) bool { return conversationOf(m.Message) == conversation }) {
		return nil
	}
	var n int
	return s.db.QueryRowContext(ctx, `
SELECT count(*) FROM delivery_own o JOIN delivery_readers p ON p.reader = o.reader JOIN delivery_conversations c ON c.conv = p.conv
WHERE c.id = '`+conversation+`'`).Scan(&n)
}

func (s *asking) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	if err := s.ask(ctx, list.Conversation); err != nil {
		return delivery.Page{}, err
	}
	return s.Store.List(ctx, list)
}

func (s *asking) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	if err := s.ask(ctx, conversationOf(list.Message)); err != nil {
		return delivery.ReceiptPage{}, err
	}
	return s.Store.Receipts(ctx, list)
}

func (s *asking) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if err := s.ask(ctx, conversationOf(marks[0].Message)); err != nil {
		return nil, nil, err
	}
	return s.Store.Advance(ctx, marks, lease)
}
