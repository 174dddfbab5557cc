// Package deliveryotel measures a [delivery.Tracker] with OpenTelemetry. It is a module of its own.
//
//	telemetry, err := deliveryotel.New(nil) // the global providers
//	tracker, err := delivery.New(store, telemetry.Notifier(notifier), &delivery.Options{
//		Authorize: mayDo,
//		Observer:  telemetry.Observer(),
//		Trace:     deliveryotel.Trace,
//	})
//	stop, err := telemetry.Watch(tracker)
//
// # Metrics
//
//	name                          kind              unit       labels
//	delivery.sends                counter           {message}  delivery.result, delivery.in_tx
//	delivery.marks                counter           {mark}     delivery.result, delivery.in_tx, delivery.status, delivery.up_to
//	delivery.receipts             counter           {receipt}  delivery.in_tx, delivery.status
//	delivery.failures             counter           {receipt}  delivery.result
//	delivery.deletions            counter           {message}  delivery.result, delivery.in_tx
//	delivery.time_to_delivered    histogram         s          delivery.in_tx
//	delivery.time_to_read         histogram         s          delivery.in_tx
//	delivery.batch.size           histogram         {item}     delivery.batch, delivery.result
//	delivery.batch.duration       histogram         s          delivery.batch, delivery.result
//	delivery.notify.duration      histogram         s          delivery.result
//	delivery.notify.events        counter           {event}    delivery.result
//	delivery.notify.calls         up-down counter   {call}
//	delivery.leases.lost          counter           {event}
//	delivery.dead_letters         counter           {event}
//	delivery.breaker.changes      counter           {change}   delivery.breaker
//	delivery.outbox.waiting       gauge             {event}
//	delivery.outbox.age           gauge             s
//	delivery.outbox.ahead         gauge             s
//	delivery.outbox.dead          gauge             {event}
//	delivery.breaker.state        gauge             {state}    delivery.breaker
//	delivery.relay.running        gauge             {relay}
//
// delivery.receipts counts the receipts that marks have advanced, except for marks that are hidden
// from others wholly or in part. A mark that hides something ([delivery.Actor.Hide]) is in
// delivery.marks only, even if others see that the message was delivered.
// delivery.time_to_delivered and delivery.time_to_read are the times from the sending of a message
// until the receipt of a recipient reaches the status. They are measured for single marks only, not
// for up-to marks.
//
// delivery.in_tx is true for what was done in a transaction of the caller's. It is counted when the
// call returns, and thus also if the transaction is rolled back, or run again after a conflict.
//
// The gauges are read from the tracker by [Telemetry.Watch], with one call of
// [delivery.Tracker.Backlog] at each collection. The outbox is shared by all processes, so take the
// greatest of their values, and not the sum. The gauges of the breaker and the relay are about one
// process. In delivery.breaker.state, the breaker's current state has the value 1, and the other
// states have 0. delivery.relay.running is 1 in a process that runs [delivery.Tracker.Run].
//
// grafana.json is a dashboard of these metrics as the Prometheus exporter names them, and
// alerts.yaml has alerts. docs/operations.md says what to do at each.
//
// # Labels
//
// No id of a user, a message or a conversation is ever a label, and no text of an error. The label
// delivery.result has one of these values: ok, own_message, not_recipient, forbidden, not_found,
// conflict, gone, invalid, unavailable, outcome_unknown, tx_conflict, canceled, error. For the
// notifier it is ok, refused, canceled or error. delivery.status is delivered or read;
// delivery.batch is sends, marks, up_to or deletions; delivery.breaker is closed, open or
// half-open.
//
// # Traces
//
// Each call of the notifier is a span, delivery.notify. It is linked to the spans of the calls that
// made the changes, even if they were made in another process: [Trace] stores the ids of sampled
// spans with the events in the outbox. A span has at most 128 links.
package deliveryotel
