package speed

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// BenchmarkInspectorBesideMarks asks for the inspector's pages beside the marks of 256 callers, in
// a Postgres with 10,000,000 messages of the last 7 days. "hour-s" is how long it took to count one
// of the hours, which has 59,524 messages, before there were marks. "p99-ms" is how long the
// slowest page took at the 99th percentile, when each page was asked for 200 times, once a second,
// after a first look at each. It is to be at most 100. "marks-x" is the median ratio of
// marks beside one page a second to marks without pages, in pairs of 5 s. The interval from
// "marks-low-x" to "marks-high-x", in which that median is with 95 %, is to reach 0.97.
//
// It takes about 10 minutes, and 8 GB where temporary files are.
func BenchmarkInspectorBesideMarks(b *testing.B) {
	const callers, looks, pairs, half = 256, 200, 16, 5 * time.Second
	server := engines.First(engines.Postgres).Server(b, "-c", "shared_buffers=1GB", "-c", "max_wal_size=2GB", "-c", "checkpoint_timeout=15min")
	database := server.Database(b)
	db := database.Open(b)
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	stores.Migrate(b, database.Engine, db)
	fill(b, db.ExecContext)
	tracker := stores.Tracker(b, stores.Open(b, database.Engine, db))
	began := time.Now()
	if counted, err := tracker.CountHours(b.Context()); err != nil || counted != 1 {
		b.Fatal(counted, err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "hour-s")
	pages, err := inspector.New(tracker, func(*http.Request) (inspector.Access, error) { return inspector.MayAct, nil }, &inspector.Options{Actions: true})
	if err != nil {
		b.Fatal(err)
	}
	// visit asks for a page, and returns how long it took.
	visit := func(page string) time.Duration {
		answer := httptest.NewRecorder()
		began := time.Now()
		pages.ServeHTTP(answer, httptest.NewRequestWithContext(b.Context(), http.MethodGet, page, nil))
		if answer.Code != http.StatusOK {
			b.Errorf("%s: status %d: %s", page, answer.Code, answer.Body)
		}
		return time.Since(began)
	}

	ctx, stop := context.WithCancel(b.Context())
	var all sync.WaitGroup
	var marks, next atomic.Int64
	next.Store(filled / 2)
	all.Go(func() {
		if err := tracker.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	for range callers {
		all.Go(func() {
			for ctx.Err() == nil {
				n := next.Add(1)
				user := []string{"bob", "cem"}[n/filled]
				if _, err := tracker.MarkDelivered(ctx, delivery.Actor{User: user}, fmt.Sprint("m", filled/2+n%(filled/2))); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
				marks.Add(1)
			}
		})
	}
	defer all.Wait()
	defer stop()

	addresses := map[string]string{
		"overview": "/", "funnel": "/funnel", "funnel of 7 days": "/funnel?days=7", "dead": "/dead",
		"message": fmt.Sprint("/message?id=m", filled/4), "receipts": fmt.Sprint("/message?id=m", filled/4, "&status=read"), "no message": "/message",
	}
	names := []string{"overview", "funnel", "funnel of 7 days", "dead", "message", "receipts", "no message"}
	time.Sleep(half)
	for _, name := range names {
		visit(addresses[name])
	}
	took := map[string][]time.Duration{}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for range looks {
		<-second.C
		for _, name := range names {
			took[name] = append(took[name], visit(addresses[name]))
		}
	}
	var slowest time.Duration
	for _, name := range names {
		slices.Sort(took[name])
		p99 := took[name][looks*99/100-1]
		slowest = max(slowest, p99)
		b.Logf("%-16s p50 %5.1f ms, p99 %5.1f ms", name, float64(took[name][looks/2-1].Microseconds())/1000, float64(p99.Microseconds())/1000)
	}
	b.ReportMetric(float64(slowest.Microseconds())/1000, "p99-ms")

	var ratios []float64
	page := 0
	for pair := range pairs {
		rate := map[bool]float64{}
		for _, visiting := range []bool{pair%2 == 0, pair%2 == 1} {
			from, since := marks.Load(), time.Now()
			for time.Since(since) < half {
				<-second.C
				if visiting {
					visit(addresses[names[page%len(names)]])
					page++
				}
			}
			rate[visiting] = float64(marks.Load()-from) / time.Since(since).Seconds()
		}
		ratios = append(ratios, rate[true]/rate[false])
		b.Logf("%6.0f marks/s without pages, %6.0f with one a second", rate[false], rate[true])
	}
	slices.Sort(ratios)
	b.ReportMetric((ratios[pairs/2-1]+ratios[pairs/2])/2, "marks-x")
	b.ReportMetric(ratios[3], "marks-low-x") // of 16, the 4th and the 13th enclose the median with 97.9 %
	b.ReportMetric(ratios[12], "marks-high-x")
}

const (
	filled = 10_000_000 // messages m1, m2 and so on, of 3 users
	rooms  = 10_000     // conversations
)

// fill stores the messages, an equal number in each hour of the last 7 days. Of the older half, a
// part was delivered to both recipients or read by both, after some time. The others are as they
// were sent.
func fill(b *testing.B, exec func(ctx context.Context, statement string, args ...any) (sql.Result, error)) {
	began := time.Now()
	for _, statement := range []string{
		"INSERT INTO delivery_conversations (id, version) SELECT 'c' || n, $messages / $rooms FROM generate_series(1, $rooms) n",
		"INSERT INTO delivery_readers (conv, delivered_seq, read_seq, name) SELECT conv, 0, 0, u FROM delivery_conversations, unnest(ARRAY['ann', 'bob', 'cem']) u",
		"INSERT INTO delivery_rosters (conv, size, tracked, readers, name) SELECT conv, 3, 3, 3, 'them' FROM delivery_conversations",
		"INSERT INTO delivery_members (roster, reader) SELECT g.roster, p.reader FROM delivery_rosters g JOIN delivery_readers p USING (conv)",
		`CREATE TABLE room AS SELECT row_number() OVER () AS place, g.conv, g.roster, p.reader AS ann FROM delivery_rosters g JOIN delivery_readers p ON p.conv = g.conv AND p.name = 'ann'`,
		`INSERT INTO delivery_messages (conv, seq, sender, roster, sent_at, stored_at, recipients, total, readers, quorum, id, body)
SELECT conv, k, ann, roster, at, (extract(epoch FROM at) * 1000000)::bigint, 2, 2, 2, 2, 'm' || n, repeat('x', 100)
FROM (
	SELECT room.*, k, (k - 1) * $rooms + place AS n, now() - interval '7 days' * (1 - ((k - 1) * $rooms + place) / $messages.0) AS at
	FROM generate_series(1, $messages / $rooms) k, room
) room`,
		`INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count, delivered_at, read_at)
SELECT conv, seq, seq, CASE WHEN d = 0 THEN 1 WHEN d < 5 THEN 2 ELSE 3 END, CASE WHEN d > 0 THEN 2 ELSE 0 END, CASE WHEN d >= 5 THEN 2 ELSE 0 END,
	CASE WHEN d > 0 THEN sent_at + took END, CASE WHEN d >= 5 THEN sent_at + 9 * took END
FROM (SELECT *, CASE WHEN seq <= $messages / $rooms / 2 THEN (seq + conv) % 10 ELSE 0 END AS d, interval '1 second' * power(2, (conv + seq) % 17) AS took FROM delivery_messages) m`,
		`INSERT INTO delivery_receipts (conv, seq, reader, version, status, delivered_at, read_at)
SELECT m.conv, m.seq, p.reader, m.seq, m.status, m.delivered_at, m.read_at
FROM delivery_states m JOIN delivery_readers p ON p.conv = m.conv AND p.name <> 'ann' WHERE m.status > 1 AND m.seq % 10 = 0`,
		// One hour is due.
		`INSERT INTO delivery_hours (began_at, ready_at, made_at, messages, messages_delivered, messages_read,
	recipients, recipients_delivered, recipients_read, to_delivered, to_read)
SELECT at, CASE WHEN h = 30 THEN 0 ELSE 9000000000000000 END, at + 3600000000, 59524, 53570, 29762, 119048, 107140, 59524,
	'[100,2000,6000,3000,9000,9000,6000,6000,6000,6470]', '[0,0,2000,2000,4000,6000,6000,6000,3000,762]'
FROM (SELECT h, (extract(epoch FROM date_trunc('hour', now(), 'UTC')) * 1000000)::bigint - h * 3600000000 AS at FROM generate_series(-9, 168) h) hours`,
		"VACUUM ANALYZE",
	} {
		statement = strings.NewReplacer("$messages", fmt.Sprint(filled), "$rooms", fmt.Sprint(rooms)).Replace(statement)
		if _, err := exec(b.Context(), statement); err != nil {
			b.Fatalf("%v\n%s", err, statement)
		}
	}
	b.Logf("%d messages were stored in %v", filled, time.Since(began).Round(time.Second))
}
