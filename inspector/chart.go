package inspector

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/msgdelivery/delivery"
)

// chart is what a template draws as SVG, in units of a view box. Y grows downwards.
type chart struct {
	Width, Height float64
	Left, Right   float64 // of the plot
	Top, Bottom   float64
	Lines         []label // of the scale
	Labels        []label // below
	Columns       []column
}

// label is a text at a place.
type label struct {
	X, Y float64
	Text string
}

// column is what is drawn for one hour or one range of times.
type column struct {
	Title string
	Bars  []bar
	Value *label // above the bars
}

// bar is a rectangle of a kind, as the data of a path: one attribute instead of four, because
// html/template escapes each.
type bar struct{ Kind, Path string }

// newChart returns a chart whose scale reaches at least most.
func newChart(width, height float64, most int) (c *chart, y func(n int) float64) {
	c = &chart{Width: width, Height: height, Left: 76, Right: width - 8, Top: 22, Bottom: height - 28}
	step := tick(most)
	top := max((most+step-1)/step, 1) * step
	y = func(n int) float64 { return c.Bottom - (c.Bottom-c.Top)*float64(n)/float64(top) }
	for n := 0; n <= top; n += step {
		c.Lines = append(c.Lines, label{c.Left, short(y(n)), number(n)})
	}
	return c, y
}

// tick returns the distance of the lines of a scale: 1, 2 or 5 with zeros, so that there are at
// most 5 up to most.
func tick(most int) int {
	for unit := 1; ; unit *= 10 {
		for _, n := range []int{unit, 2 * unit, 5 * unit} {
			if most <= 5*n {
				return n
			}
		}
	}
}

// bar adds a bar up to a height, if it has one.
func (c *chart) bar(to *column, kind string, x, width, top float64) {
	if top < c.Bottom {
		to.Bars = append(to.Bars, bar{kind, fmt.Sprintf("M%v %vh%vV%vh-%[3]vz", short(x), short(top), short(width), c.Bottom)})
	}
}

// short is a number with 2 digits behind the point.
func short(x float64) float64 { return math.Round(100*x) / 100 }

// funnelChart draws for each hour of some days what was sent, and before it the part that was
// delivered, and that which was read.
func funnelChart(hours []delivery.Hour, first time.Time, days int) chart {
	most := 0
	for _, hour := range hours {
		most = max(most, hour.Messages.Sent)
	}
	c, y := newChart(960, 260, most)
	each := (c.Right - c.Left) / float64(24*days)
	x := func(at time.Time) float64 { return c.Left + each*at.Sub(first).Hours() }
	for _, hour := range hours {
		m := hour.Messages
		col := column{Title: fmt.Sprintf("%s: %s sent, %s delivered, %s read", hour.Start.Format("Jan 2, 15:04"), number(m.Sent), number(m.Delivered), number(m.Read))}
		at, width := x(hour.Start)+each*.1, each*.8
		c.bar(&col, "sent", at, width, y(m.Sent))
		c.bar(&col, "delivered", at, width, y(m.Delivered))
		c.bar(&col, "read", at, width, y(m.Read))
		c.Columns = append(c.Columns, col)
	}
	format, every := "15:04", 3
	if days > 1 {
		format, every = "Jan 2", 24
	}
	for at := first.Truncate(24 * time.Hour); at.Before(first.Add(time.Duration(days) * 24 * time.Hour)); at = at.Add(time.Duration(every) * time.Hour) {
		if !at.Before(first) {
			c.Labels = append(c.Labels, label{short(x(at) + each/2), c.Bottom + 18, at.Format(format)})
		}
	}
	return *c
}

// timesChart draws how many messages took how long.
func timesChart(rows []timesRow) chart {
	most := 0
	for _, row := range rows {
		most = max(most, row.Count)
	}
	c, y := newChart(736, 220, most)
	each := (c.Right - c.Left) / float64(len(rows))
	for i, row := range rows {
		at := c.Left + each*float64(i)
		col := column{Title: row.Bound + ": " + number(row.Count)}
		c.bar(&col, "time", at+each*.1, each*.8, y(row.Count))
		if row.Count > 0 {
			col.Value = &label{short(at + each/2), short(y(row.Count) - 5), row.Share}
		}
		c.Columns = append(c.Columns, col)
		c.Labels = append(c.Labels, label{short(at + each/2), c.Bottom + 18, row.Bound})
	}
	return *c
}

// number returns a number with commas between its thousands.
func number(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
