package deliveryotel_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryotel"
	"github.com/msgdelivery/delivery/memstore"
)

// Prometheus scrapes the metrics of a process.
func Example_prometheus() {
	ctx := context.Background()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		panic(err)
	}
	telemetry, err := deliveryotel.New(&deliveryotel.Options{MeterProvider: metric.NewMeterProvider(metric.WithReader(exporter))})
	if err != nil {
		panic(err)
	}
	notifier := delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil })
	tracker, err := delivery.New(memstore.New(), telemetry.Notifier(notifier), &delivery.Options{
		OpenConversations: true, Observer: telemetry.Observer(), Trace: deliveryotel.Trace,
	})
	if err != nil {
		panic(err)
	}
	stop, err := telemetry.Watch(tracker)
	if err != nil {
		panic(err)
	}
	defer stop()
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) // mux.Handle("GET /metrics", metrics)

	_, err = tracker.Send(ctx, delivery.Draft{ID: "m1", Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
	if err != nil {
		panic(err)
	}
	if _, err := tracker.MarkRead(ctx, delivery.Actor{User: "bob"}, "m1"); err != nil {
		panic(err)
	}
	page := httptest.NewRecorder()
	metrics.ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for lines := bufio.NewScanner(page.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "delivery_marks_total") || strings.HasPrefix(lines.Text(), "delivery_outbox_waiting") {
			fmt.Println(lines.Text())
		}
	}
	// Output:
	// delivery_marks_total{delivery_in_tx="false",delivery_result="ok",delivery_status="read",delivery_up_to="false"} 1
	// delivery_outbox_waiting 2
}
