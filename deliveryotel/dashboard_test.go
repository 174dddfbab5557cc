package deliveryotel_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/sdk/trace"
)

// dashboard is what the test reads of Grafana's JSON.
type dashboard struct {
	Title  string
	UID    string
	Panels []struct {
		ID          int
		Title, Type string
		Description string
		GridPos     struct{ H, W, X, Y int }
		Targets     []struct{ Expr, RefID string }
	}
}

// scraped returns the names of the metrics that Prometheus gets, with their labels.
func scraped(t *testing.T) map[string][]string {
	t.Helper()
	r := newRig(t, false, trace.AlwaysSample())
	r.scenario()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string][]string) // the labels of each name
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "delivery_") {
			continue
		}
		labels := []string{"le", "instance", "job"}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
		}
		there[f.GetName()] = labels
	}
	return there
}

// TestTheDashboardNamesMetricsThatExist compares what the panels ask Prometheus for with what the
// exporter gives it, both ways.
func TestTheDashboardNamesMetricsThatExist(t *testing.T) { synctest.Test(t, testDashboard) }

func testDashboard(t *testing.T) {
	there := scraped(t)
	text, err := os.ReadFile("grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	name, label := regexp.MustCompile(`\bdelivery_[a-z_]+(?:\{[^}]*\})?`), regexp.MustCompile(`(?:[{,]\s*|by \(|, )([a-z_]+)`)
	shown := make(map[string]bool)
	ids := make(map[int]bool)
	for _, p := range d.Panels {
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || p.GridPos.W == 0 || ids[p.ID] {
			t.Errorf("panel %d, %q, has no title, description, query or place, or its id is taken", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			found := name.FindAllString(target.Expr, -1)
			metric := ""
			for _, text := range found {
				full, _, _ := strings.Cut(text, "{")
				base := family(full)
				switch {
				case there[base] != nil:
					metric, shown[base] = base, true
				case !slices.Contains([]string{"delivery_result", "delivery_status", "delivery_batch", "delivery_breaker", "delivery_up_to", "delivery_in_tx"}, full):
					t.Errorf("panel %q asks for %s, which no exporter gives", p.Title, full)
				}
			}
			if metric == "" {
				t.Errorf("panel %q asks for no metric: %s", p.Title, target.Expr)
				continue
			}
			for _, l := range label.FindAllStringSubmatch(target.Expr, -1) {
				if strings.HasPrefix(l[1], "delivery_") && there[l[1]] == nil && !slices.Contains(there[metric], l[1]) {
					t.Errorf("panel %q asks for the label %s, which %s has not", p.Title, l[1], metric)
				}
			}
		}
	}
	for name := range there {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
	if d.Title == "" || d.UID == "" {
		t.Error("the dashboard has no title or uid")
	}
}

// family returns the name of a histogram whose part is named, and any other name as it is.
func family(name string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

func TestTheAlertsNameMetricsThatExist(t *testing.T) { synctest.Test(t, testAlerts) }

func testAlerts(t *testing.T) {
	there := scraped(t)
	rules, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`- alert: (\w+)\n\s+expr: (.+)\n`)
	name := regexp.MustCompile(`\bdelivery_[a-z_]+`)
	found := rule.FindAllStringSubmatch(string(rules), -1)
	if n := strings.Count(string(rules), "- alert:"); len(found) != n || n == 0 {
		t.Fatalf("%d of %d rules have an expression", len(found), n)
	}
	for _, m := range found {
		if !strings.Contains(string(guide), "`"+m[1]+"`") {
			t.Errorf("docs/operations.md does not say what to do at %s", m[1])
		}
		var labels []string
		for _, text := range name.FindAllString(m[2], -1) {
			labels = append(labels, there[family(text)]...)
		}
		for _, text := range name.FindAllString(m[2], -1) {
			if there[family(text)] == nil && !slices.Contains(labels, text) {
				t.Errorf("%s asks for %s, which no exporter gives", m[1], text)
			}
		}
		if len(labels) == 0 {
			t.Errorf("%s asks for no metric", m[1])
		}
	}
}
