package deliveryotel

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// instruments are what a Telemetry measures with.
type instruments struct {
	sends, marks, receipts, failures, deletions metric.Int64Counter
	notifyEvents, leasesLost                    metric.Int64Counter
	deadLetters, breakerChanges, sentMessages   metric.Int64Counter
	timeToDelivered, timeToRead                 metric.Float64Histogram
	batchDuration, notifyDuration, operation    metric.Float64Histogram
	batchSize                                   metric.Int64Histogram
	notifyCalls                                 metric.Int64UpDownCounter
}

// gauges are what is read from a tracker.
type gauges struct {
	waiting, dead, breaker, running metric.Int64ObservableGauge
	age, ahead                      metric.Float64ObservableGauge
}

// Bounds of histograms.
var (
	writes  = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}                  // seconds
	people  = []float64{.05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600} // seconds
	numbers = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 500}
)

func (i *instruments) make(m metric.Meter, conventions bool) error {
	var errs []error
	counter := func(name, unit, what string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(what))
		errs = append(errs, err)
		return c
	}
	seconds := func(name, what string, bounds []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(what), metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return h
	}
	i.sends = counter("delivery.sends", "{message}", "Sends, by what became of them.")
	i.marks = counter("delivery.marks", "{mark}", "Marks of messages, by what became of them. An up-to mark counts once.")
	i.receipts = counter("delivery.receipts", "{receipt}", "Receipts that advanced.")
	i.failures = counter("delivery.failures", "{receipt}", "Failures that the app recorded, by what became of them.")
	i.deletions = counter("delivery.deletions", "{message}", "Deletions of messages, by what became of them.")
	i.timeToDelivered = seconds("delivery.time_to_delivered", "Time from the sending of a message to its delivery to a recipient.", people)
	i.timeToRead = seconds("delivery.time_to_read", "Time from the sending of a message to its reading by a recipient.", people)
	i.batchDuration = seconds("delivery.batch.duration", "Time that the store took to write a batch.", writes)
	i.notifyDuration = seconds("delivery.notify.duration", "Time that a call of the notifier took.", writes)
	i.notifyEvents = counter("delivery.notify.events", "{event}", "Events that the notifier was given, by what became of them.")
	i.leasesLost = counter("delivery.leases.lost", "{event}", "Events that could not be settled: another relay has claimed them, or another transaction has locked them. They may be published twice.")
	i.deadLetters = counter("delivery.dead_letters", "{event}", "Events that went to the dead letters.")
	i.breakerChanges = counter("delivery.breaker.changes", "{change}", "Changes of the breaker of this process, by the new state.")
	var err error
	i.batchSize, err = m.Int64Histogram("delivery.batch.size", metric.WithUnit("{item}"),
		metric.WithDescription("Items that the store wrote in one batch."), metric.WithExplicitBucketBoundaries(numbers...))
	errs = append(errs, err)
	i.notifyCalls, err = m.Int64UpDownCounter("delivery.notify.calls", metric.WithUnit("{call}"), metric.WithDescription("Calls of the notifier that are under way."))
	errs = append(errs, err)
	if conventions {
		i.operation = seconds("messaging.client.operation.duration", "Duration of messaging operation initiated by a producer or consumer client.", writes)
		i.sentMessages = counter("messaging.client.sent.messages", "{message}", "Number of messages producer attempted to send to the broker.")
	}
	return errors.Join(errs...)
}

func makeGauges(m metric.Meter) (g gauges, err error) {
	var errs []error
	whole := func(name, unit, what string) metric.Int64ObservableGauge {
		o, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(what))
		errs = append(errs, err)
		return o
	}
	seconds := func(name, what string) metric.Float64ObservableGauge {
		o, err := m.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(what))
		errs = append(errs, err)
		return o
	}
	g.waiting = whole("delivery.outbox.waiting", "{event}", "Committed events that the notifier has not accepted yet.")
	g.dead = whole("delivery.outbox.dead", "{event}", "Dead letters.")
	g.breaker = whole("delivery.breaker.state", "{state}", "1 for the state that the breaker of this process is in, 0 for the others.")
	g.running = whole("delivery.relay.running", "{relay}", "1 if this process runs the relay, 0 if not.")
	g.age = seconds("delivery.outbox.age", "How long ago the oldest waiting event was committed.")
	g.ahead = seconds("delivery.outbox.ahead", "By how much the newest waiting event is ahead of the store's clock, which was set back.")
	return g, errors.Join(errs...)
}
