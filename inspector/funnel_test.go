package inspector_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

// counted is a store that has counted these hours.
type counted struct {
	delivery.Store
	hours []delivery.Hour
	err   error
	asked []time.Time
}

func (c *counted) CountHour(context.Context) (bool, error) { return false, nil }

func (c *counted) Hours(_ context.Context, from time.Time, limit int) ([]delivery.Hour, error) {
	c.asked = append(c.asked, from)
	return c.hours, c.err
}

// hour is one that began so long before this one, and was counted an hour after that or just now.
func hour(ago time.Duration, sent, delivered, read int) delivery.Hour {
	start := time.Now().UTC().Truncate(time.Hour).Add(-ago)
	h := delivery.Hour{Start: start, AsOf: start.Add(time.Hour), Messages: delivery.Funnel{Sent: sent, Delivered: delivered, Read: read}}
	if h.AsOf.After(time.Now()) {
		h.AsOf = time.Now()
	}
	return h
}

// bars are the bars of a page in order: kind, x, and y of the top and of the bottom.
func bars(text string) (all []string) {
	for _, m := range regexp.MustCompile(`<path class="bar (\w+)" d="M([\d.]+) ([\d.]+)h[\d.]+V([\d.]+)h-[\d.]+z"`).FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Join(m[1:], " "))
	}
	return all
}

func TestFunnel(t *testing.T) {
	t.Run("a day is shown hour by hour, and how long its messages took", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // on 2000-01-01
			time.Sleep(20*time.Hour + 30*time.Minute)
			a, b := hour(3*time.Hour, 100, 50, 25), hour(0, 1400, 7, 1)
			a.Deleted, a.Recipients = 9, delivery.Funnel{Sent: 200, Delivered: 150, Read: 50}
			a.ToDelivered[0], a.ToDelivered[4], a.ToRead[9] = 1, 200, 3
			store := &counted{Store: memstore.New(), hours: []delivery.Hour{a, b}}
			d := newDesk(t, store, inspector.Options{})
			status, text := d.get("reader", "/funnel")
			d.want("the page", status, text, 200,
				`aria-current="true">Last 24 hours</a>`, "<dt>Messages sent</dt><dd>1,500</dd>", "<dt>… delivered</dt><dd>4 % <small>57</small>", "<dt>… read</dt><dd>2 % <small>26</small>",
				"Their 200 recipients: 75 % have received the message, 25 % have read it.",
				"<title>Jan 1, 17:00: 100 sent, 50 delivered, 25 read</title>", "<title>Jan 1, 20:00: 1,400 sent, 7 delivered, 1 read</title>",
				"22 hours of the range have no count", "was made "+`<time datetime="2000-01-01T18:00:00Z"`, ">18:00</text>", ">03:00</text>", ">1,500</text>",
				`<td data-label="Deleted">9</td>`, `<td data-label="… received">150</td>`,
				"<title>≤ 1 s: 1</title>", "<title>≤ 5 min: 200</title>", "<title>longer: 3</title>", ">&lt; 1 %</text>", ">&gt; 99 %</text>",
				`<th scope="row">≤ 5 min</th><td data-label="Messages">200</td><td data-label="Share">&gt; 99 %</td><td data-label="Up to this time">100 %</td>`)
			if want := time.Date(1999, 12, 31, 21, 0, 0, 0, time.UTC); len(store.asked) != 1 || !store.asked[0].Equal(want) {
				t.Errorf("it asked for the hours from %v, want %v", store.asked, want)
			}
			// A plot is 210 high and ends at 232, that of times 170 and at 192. The scales reach to
			// 1,500, 200 and 3.
			want := []string{
				"sent 809.65 218 232", "delivered 809.65 225 232", "read 809.65 228.5 232", "sent 919.15 36 232", "delivered 919.15 231.02 232", "read 919.15 231.86 232",
				"time 82.52 191.15 192", "time 343.32 22 192", "time 669.32 22 192",
			}
			got := bars(text)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the bars are\n%q, want\n%q", got, want)
			}
			if strings.Contains(text, "The last count is") {
				t.Error("a fresh count is called old")
			}
		})
	})

	t.Run("of 7 days each hour is shown too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &counted{Store: memstore.New(), hours: []delivery.Hour{hour(167*time.Hour, 1, 0, 0), hour(0, 4, 4, 4), hour(-time.Hour, 90, 0, 0)}}
			d := newDesk(t, store, inspector.Options{})
			status, text := d.get("reader", "/funnel?days=7")
			d.want("the page", status, text, 200, `aria-current="true">Last 7 days</a>`, "<dt>Messages sent</dt><dd>5</dd>", "80 %", "166 hours of the range have no count", ">Dec 26</text>", ">Jan 1</text>")
			if want := time.Date(1999, 12, 25, 1, 0, 0, 0, time.UTC); !store.asked[0].Equal(want) {
				t.Errorf("it asked for the hours from %v, want %v", store.asked, want)
			}
			if got := bars(text); len(got) != 4 {
				t.Errorf("the bars are %q", got)
			}
		})
	})

	t.Run("scales have few lines, and reach to the highest bar", func(t *testing.T) {
		for sent, want := range map[int]string{0: "0 1", 1: "0 1", 5: "0 1 2 3 4 5", 6: "0 2 4 6", 11: "0 5 10 15", 1_234_567: "0 500,000 1,000,000 1,500,000"} {
			d := newDesk(t, &counted{Store: memstore.New(), hours: []delivery.Hour{hour(0, sent, 0, 0)}}, inspector.Options{})
			_, text := d.get("reader", "/funnel")
			text, _, _ = strings.Cut(text, "</svg></div>")
			var lines []string
			for _, m := range regexp.MustCompile(`class="scale"[^>]*>([\d,]+)<`).FindAllStringSubmatch(text, -1) {
				lines = append(lines, m[1])
			}
			if got := strings.Join(lines, " "); got != want {
				t.Errorf("with %d messages the lines are %q, want %q", sent, got, want)
			}
		}
	})

	t.Run("a store that counts at once needs nobody to call", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		status, text := d.get("reader", "/funnel")
		d.want("without messages", status, text, 200, "Nothing is counted yet.", "Tracker.CountHours")
		d.send("room", "m1")
		for _, user := range []string{"bob", "carol"} {
			if _, err := d.tracker.MarkDelivered(t.Context(), delivery.Actor{User: user}, "m1"); err != nil {
				t.Fatal(err)
			}
		}
		status, text = d.get("reader", "/funnel")
		d.want("with a message", status, text, 200, "<dt>… delivered</dt><dd>100 % <small>1</small>", "<dt>… read</dt><dd>0 % <small>0</small>", "<title>≤ 1 s: 1</title>", "Of no message in the range.")
	})

	t.Run("hours that nobody counts any more are said", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, &counted{Store: memstore.New(), hours: []delivery.Hour{hour(4*time.Hour, 1, 0, 0)}}, inspector.Options{})
			status, text := d.get("reader", "/funnel")
			d.want("a count of 3 hours ago", status, text, 200, "The last count is 3 h old.")
			d = newDesk(t, &counted{Store: memstore.New(), hours: []delivery.Hour{hour(3*time.Hour, 1, 0, 0)}}, inspector.Options{})
			if _, text := d.get("reader", "/funnel"); strings.Contains(text, "The last count is") {
				t.Error("a count of 2 hours ago is called old")
			}
		})
	})

	t.Run("a store that cannot count is said, and one that is away is a failure", func(t *testing.T) {
		d := newDesk(t, struct{ delivery.Store }{memstore.New()}, inspector.Options{})
		status, text := d.get("reader", "/funnel")
		d.want("a store without hours", status, text, 200, "The app’s store cannot count messages by the hour.")
		d = newDesk(t, &counted{Store: memstore.New(), err: fmt.Errorf("%w: no route", delivery.ErrUnavailable)}, inspector.Options{})
		status, text = d.get("reader", "/funnel")
		d.want("a store that is away", status, text, 503, "no route")
	})

	t.Run("other ranges are refused, and nothing of them is shown", func(t *testing.T) {
		store := &counted{Store: memstore.New()}
		d := newDesk(t, store, inspector.Options{})
		for _, days := range []string{"0", "2", "-1", "7 ", "07", "1e0", "99999999999999999999", "<script>", "\x00", "\xff", "1'--", strings.Repeat("7", 10_000)} {
			status, text := d.get("reader", "/funnel?"+url.Values{"days": {days}}.Encode())
			d.want(days, status, text, 400, "The funnel is of 1 day or of 7.")
			if strings.Contains(text, "script") {
				t.Errorf("%q is shown", days)
			}
		}
		if len(store.asked) > 0 {
			t.Error("the store was asked")
		}
	})
}
