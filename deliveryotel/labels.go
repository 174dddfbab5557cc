package deliveryotel

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/msgdelivery/delivery"
)

// labels are the labels of a measurement. Empty labels are left out. No label has an id, so there
// are few different sets of them.
type labels struct{ result, status, upTo, inTx, batch, breaker string }

// sets are the labels that were used so far, as OpenTelemetry wants them. To make a set takes
// longer than to count.
var sets sync.Map

// set returns the labels as OpenTelemetry wants them.
func (l labels) set() metric.MeasurementOption {
	if known, ok := sets.Load(l); ok {
		return known.(metric.MeasurementOption)
	}
	var all []attribute.KeyValue
	for _, label := range []struct{ key, value string }{
		{"delivery.result", l.result}, {"delivery.status", l.status}, {"delivery.up_to", l.upTo}, {"delivery.in_tx", l.inTx},
		{"delivery.batch", l.batch}, {"delivery.breaker", l.breaker},
	} {
		if label.value != "" {
			all = append(all, attribute.String(label.key, label.value))
		}
	}
	set := metric.WithAttributeSet(attribute.NewSet(all...))
	sets.Store(l, set)
	return set
}

// yes returns a label for what is or is not.
func yes(is bool) string { return strconv.FormatBool(is) }

var batches = map[delivery.Written]string{
	delivery.WroteSends: "sends", delivery.WroteMarks: "marks", delivery.WroteUpTos: "up_to", delivery.WroteDeletions: "deletions",
}

// classes are the results of errors. The first that fits counts: a write that was cut off has an
// outcome that is not known.
var classes = []struct {
	err  error
	name string
}{
	{delivery.ErrOwnMessage, "own_message"}, {delivery.ErrNotRecipient, "not_recipient"}, {delivery.ErrForbidden, "forbidden"},
	{delivery.ErrNotFound, "not_found"}, {delivery.ErrConflict, "conflict"}, {delivery.ErrGone, "gone"},
	{delivery.ErrOutcomeUnknown, "outcome_unknown"}, {delivery.ErrTxConflict, "tx_conflict"}, {delivery.ErrUnavailable, "unavailable"},
	{context.Canceled, canceled}, {context.DeadlineExceeded, canceled},
}

const (
	ok       = "ok"
	refused  = "refused"
	canceled = "canceled"
	failed   = "error"
)

// class is the result that an error stands for.
func class(err error) string {
	if err == nil {
		return ok
	}
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	var invalid *delivery.InvalidError
	if errors.As(err, &invalid) {
		return "invalid"
	}
	return failed
}
