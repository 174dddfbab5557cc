package hourly

import (
	"testing"

	"github.com/msgdelivery/delivery"
)

func TestWhatIsGoneLeavesTheOlderCount(t *testing.T) {
	hour := func(sent, deleted, delivered, read int) delivery.Hour {
		return delivery.Hour{Messages: delivery.Funnel{Sent: sent}, Deleted: deleted, ToDelivered: delivery.Latencies{2, 9: delivered - 2}, ToRead: delivery.Latencies{5: read}}
	}
	older := hour(10, 1, 8, 4)
	for name, c := range map[string]struct {
		newer delivery.Hour
		want  bool
	}{
		"nothing is new":                     {older, false},
		"more were delivered":                {hour(10, 1, 9, 5), false},
		"one more was sent":                  {hour(11, 1, 8, 4), false},
		"one was deleted":                    {hour(9, 2, 7, 3), false},
		"one was pruned":                     {hour(9, 1, 8, 4), true},
		"one was pruned and one deleted":     {hour(8, 2, 8, 4), true},
		"a time of delivery has expired":     {hour(10, 1, 7, 4), true},
		"a time of reading has expired":      {hour(10, 1, 8, 3), true},
		"one was deleted, and a time is old": {hour(9, 2, 6, 4), true},
		"one was deleted, and one was sent":  {hour(10, 2, 8, 4), false},
	} {
		if got := Stays(older, c.newer); got != c.want {
			t.Errorf("%s: the older count stays: %v", name, got)
		}
	}
	if Stays(delivery.Hour{}, older) {
		t.Error("an hour that was never counted stays as it is")
	}
}
