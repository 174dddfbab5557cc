package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/bench/report"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// What stands between these lines of a page is this program's to write, the rest is not.
const (
	pageBegin = "<!-- benchmarks: begin, written by internal/bench -->\n"
	pageEnd   = "<!-- benchmarks: end -->\n"
)

const newPage = "# Benchmarks\n\n" + pageBegin + pageEnd

// writePage writes the tables: into the page of that name, with charts beside it, or to the
// terminal.
func (b *bench) writePage(ctx context.Context, name string, took time.Duration) error {
	setting, err := b.setting(ctx, took)
	if err != nil {
		return err
	}
	if name == "" {
		fmt.Print(setting + b.sections(""))
		return nil
	}
	page, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		page, err = []byte(newPage), nil
	}
	if err != nil {
		return err
	}
	head, rest, begins := bytes.Cut(page, []byte(pageBegin))
	_, tail, ends := bytes.Cut(rest, []byte(pageEnd))
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the tables, between lines %q and %q", name, strings.TrimSpace(pageBegin), strings.TrimSpace(pageEnd))
	}
	charts, err := b.drawCharts(filepath.Dir(name))
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(string(head)+pageBegin+setting+b.sections(charts)+pageEnd+string(tail)), 0o644)
}

// sections are all tables with their headings; those of experiments that were not run are left out.
func (b *bench) sections(charts string) string {
	var page strings.Builder
	for _, s := range []struct {
		title, text string
		table       *report.Table
	}{
		{"Figures to reach", "Ratios are of the same round; in parentheses the 95 % confidence interval of their median. p is the chance that two samples of one and the same thing differ so much (Mann–Whitney). Under rows stands what the peer of that name reaches.\n\n" + charts, b.figuresTable()},
		{"Marks to the commit", "Nothing is published here: inline never calls Pusher, the others keep their events stored. CPU and bytes are per mark.", b.storedTable()},
		{"Marks until Pusher has accepted them, stub 0 ms", "", b.acceptedTable(0)},
		{"Marks until Pusher has accepted them, stub 20 ms", "", b.acceptedTable(20 * time.Millisecond)},
		{"From the commit until Pusher has accepted it, idle system", "", b.idleTable()},
		{fmt.Sprintf("Catching up with %d unread messages", b.unread), "", b.catchUpTable()},
		{"Through examples/tutorial", fmt.Sprintf("%d keep-alive connections, on the processors that the servers and the load generator share.", tutorialConns), b.tutorialTable()},
		{"Growth", "", b.growthTable()},
		{"Mark up to a message, by length of what was marked before", "", b.upToTable()},
		{fmt.Sprintf("A group of %d acknowledging one message within a second, stub 20 ms", b.members), "", b.groupTable()},
	} {
		if s.table.Empty() {
			continue
		}
		fmt.Fprintf(&page, "## %s\n\n", s.title)
		if text := strings.TrimSpace(s.text); text != "" {
			fmt.Fprintf(&page, "%s\n\n", text)
		}
		fmt.Fprintf(&page, "%s\n", s.table)
	}
	return page.String()
}

// drawCharts writes charts into a folder and returns the Markdown that shows them.
func (b *bench) drawCharts(dir string) (markdown string, err error) {
	for _, c := range []struct {
		file, title, axis, unit string
		peers                   []string
		name                    func(peer string, callers int) string
	}{
		{"benchmarks-stored.svg", "Marks a second, to the commit, Postgres", "marks/s, by callers", unitMarks, []string{"inline", "single", "floor", "ours", "rows"}, storedName},
		{"benchmarks-accepted.svg", "Marks a second until Pusher (20 ms) has accepted them, Postgres", "accepted marks/s, by callers", unitAccepted, []string{"inline", "river", "watermill", "ours"},
			func(peer string, callers int) string { return acceptedName(peer, callers, 20*time.Millisecond) }},
	} {
		chart := report.Chart{Title: c.title, Axis: c.axis}
		for _, callers := range callerCounts {
			chart.Labels = append(chart.Labels, strconv.Itoa(callers))
		}
		for _, p := range c.peers {
			s := report.Series{Name: p}
			for _, callers := range callerCounts {
				summary, _ := report.Summary(b.log.Values(c.name(p, callers), c.unit))
				s.Values = append(s.Values, summary.Center)
			}
			chart.Series = append(chart.Series, s)
		}
		svg, err := chart.SVG()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, c.file), svg, 0o644)
		}
		if err != nil {
			return "", err
		}
		markdown += fmt.Sprintf("![%s](%s)\n\n", c.title, c.file)
	}
	return markdown, nil
}

// setting says where and when it was measured, with what.
func (b *bench) setting(ctx context.Context, took time.Duration) (string, error) {
	servers := []string{}
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL, engines.SQLite} {
		db, err := b.lab.Database(ctx, kind)
		if err != nil {
			log.Printf("without %s: %v", kind, err)
			continue
		}
		version, err := db.Version(ctx)
		if err != nil {
			return "", err
		}
		servers = append(servers, fmt.Sprintf("%s %s", map[engines.Kind]string{engines.Postgres: "PostgreSQL", engines.MySQL: "MariaDB", engines.SQLite: "SQLite"}[kind], version))
	}
	return fmt.Sprintf("%s, %d processors (%s), %s; %s, %s; %s. %d rounds in %v, with %d connections to each database.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), lab.Processor(), lab.System(),
		runtime.Version(), strings.Join(servers, ", "), strings.Join(modules(), ", "), b.rounds, took.Round(time.Second), lab.Connections), nil
}

// modules are the versions of what the peers use.
func modules() (all []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/jackc/pgx/v5", "github.com/pusher/pusher-http-go/v5", "github.com/riverqueue/river",
			"github.com/ThreeDotsLabs/watermill", "github.com/ThreeDotsLabs/watermill-sql/v3":
			path := strings.TrimPrefix(m.Path, "github.com/")
			all = append(all, path+" "+m.Version)
		}
	}
	return all
}
