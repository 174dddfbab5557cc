package contract

import (
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

func TestAMessageMayHaveAsManyRecipientsAsTheLimitSays(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		_, store := stores.Migrated(t, e)
		members := make([]string, delivery.MaxRecipients)
		for i := range members {
			members[i] = fmt.Sprintf("user %06d", i)
		}
		last := members[len(members)-1]
		message := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "alice", SentAt: time.Now()}, Roster: "all", Members: members}
		created, _, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{})
		if err != nil || created[0].Message.Total != len(members) {
			t.Fatalf("%+v, %v", created, err)
		}
		if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy(last, "m")}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		page, err := store.Receipts(t.Context(), delivery.ReceiptList{Message: "m", After: members[len(members)-3], Limit: 10})
		if err != nil || page.More || len(page.Receipts) != 2 || page.Receipts[0].Status != delivery.Sent || page.Receipts[1].Status == delivery.Sent {
			t.Errorf("the last page is %+v, %v", page, err)
		}
		page, err = store.Receipts(t.Context(), delivery.ReceiptList{Message: "m", Limit: 500, Status: delivery.Read})
		if err != nil || !page.More || len(page.Receipts) != 0 || page.Next != members[1999] {
			t.Errorf("a page that looks at 2,000 receipts is %+v, %v", page, err)
		}
	})
}
