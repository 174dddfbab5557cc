package scale_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/internal/scale"
)

var update = flag.Bool("update", false, "write the tables of docs/scale.md")

const (
	root = "../.."
	file = root + "/docs/scale.md"
)

var sizes = []float64{10e3, 1e6, 100e6}

// TestUnitsAreThoseOfTheDocumentation fails when a measurement is made again, and the units are not
// changed with it.
func TestUnitsAreThoseOfTheDocumentation(t *testing.T) {
	for _, unit := range scale.Units {
		text, err := os.ReadFile(filepath.Join(root, unit.File))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), unit.Says) {
			t.Errorf("%s does not say %q any more: look whether %s is still %v, and run go test ./internal/scale -update", unit.File, unit.Says, unit.Name, unit.Value)
		}
	}
}

// TestScalePage holds the tables of docs/scale.md to the arithmetic.
func TestScalePage(t *testing.T) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for name, table := range map[string]string{"use": use(), "units": units(), "loads": loads(), "limits": limits(), "curve": curve()} {
		begin, end := "<!-- "+name+" -->\n\n", "\n<!-- end -->"
		before, rest, ok := strings.Cut(page, begin)
		said, after, ends := strings.Cut(rest, end)
		switch {
		case !ok || !ends:
			t.Errorf("docs/scale.md has no table %q", name)
		case said != table && *update:
			page = before + begin + table + end + after
		case said != table:
			t.Errorf("docs/scale.md says\n%s\nand the arithmetic\n%s\ngo test ./internal/scale -update", said, table)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatIsTheFirstLimit holds the text below the tables to the arithmetic.
func TestWhatIsTheFirstLimit(t *testing.T) {
	used := func(users float64, limit int) float64 {
		return scale.Limits[limit].Of(scale.Usual.Of(users)) / scale.Limits[limit].Has
	}
	const freeTold, freeConnections, told, connections, processors, disk = 0, 1, 2, 3, 4, 5
	if min(used(10e3, freeTold), used(10e3, freeConnections)) <= 1 || max(used(10e3, told), used(10e3, connections), used(10e3, processors), used(10e3, disk)) > 0.1 {
		t.Error("with 10,000 users the free plan is not the only limit")
	}
	if used(1e6, connections) <= used(1e6, told) || used(1e6, told) <= 1 || used(1e6, disk) > 1 || used(1e6, disk) <= used(1e6, processors) {
		t.Error("with 1 million users the order is not connections, messages, and then the disk, which still does")
	}
	if used(100e6, disk) <= used(100e6, processors) || used(100e6, processors) <= 1 {
		t.Error("with 100 million users the order is not disk, processors")
	}
}

func use() string {
	u := scale.Usual
	return rows("| a user, a day | |", "|---|---:|",
		"| messages sent | "+number(u.Sends)+" |",
		"| recipients of a message, each of whom gets it and reads it | "+number(u.Recipients)+" |",
		"| visits, each with the unread counts of 20 conversations and two pages of 50 messages | "+number(u.Visits)+" |",
		"| members of a conversation who are connected while something happens there | "+percent(u.Listening)+" |",
		"| users who are connected at the same time, at most | "+percent(u.Connected)+" |",
		"| load of the busiest second, in multiples of the average | "+number(u.Peak)+" |",
		"| days for which messages are kept | "+number(u.Days)+" |",
	)
}

func units() string {
	lines := []string{"| cost | | measured in |", "|---|---:|---|"}
	for _, u := range scale.Units {
		link, _ := filepath.Rel("docs", u.File)
		lines = append(lines, fmt.Sprintf("| %s | %s | [%s](%s) |", u.Name, strconv.FormatFloat(u.Value, 'g', -1, 64), link, link))
	}
	return rows(lines...)
}

func loads() string {
	lines := []string{head(""), "|---|---:|---:|---:|"}
	for _, row := range []struct {
		name string
		of   func(scale.Load) string
	}{
		{"messages a day", func(l scale.Load) string { return number(l.Messages) }},
		{"events a day", func(l scale.Load) string { return number(l.Events) }},
		{"… in the busiest second", func(l scale.Load) string { return number(l.Busiest) }},
		{"rows that stay, a day", func(l scale.Load) string { return number(l.Rows) }},
		{"disk of the database", func(l scale.Load) string { return bytes(l.Bytes) }},
		{"write-ahead log a day", func(l scale.Load) string { return bytes(l.Log) }},
		{"statements of sends and marks in the busiest second, if no two calls meet", func(l scale.Load) string { return number(l.Alone) }},
		{"… as 256 concurrent callers share them", func(l scale.Load) string { return number(l.Shared) }},
		{"processors of the database in the busiest second", func(l scale.Load) string { return number(l.Processors) }},
		{"Pusher messages a day", func(l scale.Load) string { return number(l.Told) }},
		{"… with `AuthorsOnly`", func(l scale.Load) string { return number(l.AuthorsOnly) }},
		{"connections", func(l scale.Load) string { return number(l.Connections) }},
		{"Postgres servers", func(l scale.Load) string { return number(l.Databases()) }},
	} {
		line := "| " + row.name
		for _, users := range sizes {
			line += " | " + row.of(scale.Usual.Of(users))
		}
		lines = append(lines, line+" |")
	}
	return rows(lines...)
}

func limits() string {
	lines := []string{head("used of"), "|---|---:|---:|---:|"}
	for _, limit := range scale.Limits {
		line := "| " + limit.Name
		for _, users := range sizes {
			line += " | " + times(limit.Of(scale.Usual.Of(users))/limit.Has)
		}
		lines = append(lines, line+" |")
	}
	return rows(lines...)
}

func curve() string {
	lines := []string{"| marks a second | half of them wait at most | 99 % wait at most |", "|---:|---:|---:|"}
	for _, rate := range []float64{100, 1000, 4000, 8000, 12_000, 16_000, 18_000, 20_000, 22_000, 24_000} {
		w := scale.Measured().Open(rate, 100_000)
		lines = append(lines, fmt.Sprintf("| %s | %s ms | %s ms |", number(rate), number(1000*w.P50.Seconds()), number(1000*w.P99.Seconds())))
	}
	return rows(lines...)
}

func head(first string) string {
	line := "| " + first
	for _, users := range sizes {
		line += " | " + number(users) + " users"
	}
	return strings.Replace(line, "|  |", "| |", 1) + " |"
}

func rows(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

func percent(part float64) string { return number(100*part) + " %" }

// times writes what is used of a limit, in bold if it is more than there is.
func times(share float64) string {
	if share > 1 {
		return "**" + number(share) + "×**"
	}
	return percent(share)
}

// number writes two digits, in thousands or millions where that is shorter.
func number(v float64) string {
	if v == 0 {
		return "0"
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	v = math.Round(v/unit) * unit
	for _, large := range []struct {
		from float64
		name string
	}{{1e12, " trillion"}, {1e9, " billion"}, {1e6, " million"}} {
		if v >= large.from {
			return plain(v/large.from) + large.name
		}
	}
	if v >= 1000 {
		thousands, rest := math.Floor(v/1000), math.Mod(v, 1000)
		return fmt.Sprintf("%.0f,%03.0f", thousands, rest)
	}
	return plain(v)
}

func plain(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

func bytes(v float64) string {
	for _, unit := range []struct {
		from float64
		name string
	}{{1e15, " PB"}, {1e12, " TB"}, {1e9, " GB"}} {
		if v >= unit.from {
			return number(v/unit.from) + unit.name
		}
	}
	return number(v/1e6) + " MB"
}
