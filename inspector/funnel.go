package inspector

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/msgdelivery/delivery"
)

const uncounted = 2 * time.Hour // since the last count, that is worth a look

// funnel is what became of the messages of some days.
type funnel struct {
	Unsupported bool // the store cannot count by hours
	Filters     []link
	Chosen      string

	Hours      []delivery.Hour // that were counted
	Missing    int             // hours that were not
	Oldest     time.Time       // when the count was made that is longest ago
	Late       time.Duration   // since the newest count, if that is long ago
	Messages   delivery.Funnel
	Recipients delivery.Funnel
	Deleted    int
	Bars       chart
	Times      []times
}

// times is a histogram of how long it took.
type times struct {
	Title string
	Known int // messages whose time is known
	Chart chart
	Rows  []timesRow
}

type timesRow struct {
	Bound         string
	Count         int
	Share, ToDate string // of the known ones: these, and all up to the bound
}

// funnelDays are the ranges that can be asked for, by the value of "days".
var funnelDays = map[string]int{"": 1, "1": 1, "7": 7}

func (h *Handler) funnel(q *request) (*answer, error) {
	asked := q.URL.Query().Get("days")
	days, ok := funnelDays[asked]
	if !ok {
		return nil, &problem{http.StatusBadRequest, "The funnel is of 1 day or of 7."}
	}
	f := &funnel{Filters: []link{{"Last 24 hours", "funnel"}, {"Last 7 days", "funnel?days=7"}}}
	f.Chosen = f.Filters[days/7].Text
	a := &answer{page: "funnel", title: "Funnel", data: f}
	now := time.Now().UTC()
	first := now.Truncate(time.Hour).Add(time.Hour - time.Duration(days)*24*time.Hour)
	hours, err := h.tracker.Hours(q.Context(), first)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		f.Unsupported = true
		return a, nil
	case err != nil:
		return nil, err
	}
	f.sum(hours, now)
	f.Missing = days*24 - len(f.Hours)
	f.Bars = funnelChart(f.Hours, first, days)
	return a, nil
}

// sum adds up the hours until now.
func (f *funnel) sum(hours []delivery.Hour, now time.Time) {
	var newest time.Time
	var delivered, read delivery.Latencies
	for _, hour := range hours {
		if hour.Start.After(now) {
			break // the database's clock is ahead
		}
		f.Hours = append(f.Hours, hour)
		f.Messages, f.Recipients = plus(f.Messages, hour.Messages), plus(f.Recipients, hour.Recipients)
		f.Deleted += hour.Deleted
		for i := range delivered {
			delivered[i] += hour.ToDelivered[i]
			read[i] += hour.ToRead[i]
		}
		if f.Oldest.IsZero() || hour.AsOf.Before(f.Oldest) {
			f.Oldest = hour.AsOf
		}
		if hour.AsOf.After(newest) {
			newest = hour.AsOf
		}
	}
	if late := now.Sub(newest); len(f.Hours) > 0 && late > uncounted {
		f.Late = late
	}
	f.Times = []times{timesOf("From sent to delivered", delivered), timesOf("From sent to read", read)}
}

func plus(a, b delivery.Funnel) delivery.Funnel {
	return delivery.Funnel{Sent: a.Sent + b.Sent, Delivered: a.Delivered + b.Delivered, Read: a.Read + b.Read}
}

func timesOf(title string, counts delivery.Latencies) times {
	t := times{Title: title}
	for _, n := range counts {
		t.Known += n
	}
	toDate := 0
	for i, n := range counts {
		toDate += n
		bound := "longer"
		if i < len(delivery.LatencyBounds) {
			bound = "≤ " + span(delivery.LatencyBounds[i])
		}
		t.Rows = append(t.Rows, timesRow{bound, n, share(n, t.Known), share(toDate, t.Known)})
	}
	t.Chart = timesChart(t.Rows)
	return t
}

// share returns a part of a whole in percent. Only nothing is 0 %, and only all is 100 %.
func share(part, whole int) string {
	if whole == 0 {
		return "–"
	}
	percent := 100 * float64(part) / float64(whole)
	switch {
	case percent > 0 && percent < 1:
		return "< 1 %"
	case percent > 99 && percent < 100:
		return "> 99 %"
	}
	return fmt.Sprintf("%.0f %%", percent)
}
