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

// TestTheDashboardNamesMetricsThatExist compares what the panels ask Prometheus for with what the
// exporter gives it, both ways.
func TestTheDashboardNamesMetricsThatExist(t *testing.T) { synctest.Test(t, testDashboard) }

func testDashboard(t *testing.T) {
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
				base := full
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					base = strings.TrimSuffix(base, suffix)
				}
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
