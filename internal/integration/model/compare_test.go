package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// same fails the sequence if the library's answer is not the reference's.
func (m *machine) same(what string, got, want any) {
	m.Helper()
	if !reflect.DeepEqual(got, want) {
		m.Fatalf("%s: the store says\n%s\nand the reference\n%s", what, text(got), text(want))
	}
}

func (m *machine) samePage(what string, got delivery.Page, err error, want delivery.Page) {
	m.Helper()
	m.sameError(what, err, nil)
	got.Epoch = 0 // it may be any
	for i := range got.Messages {
		got.Messages[i] = m.message(got.Messages[i])
	}
	got.Messages, want.Messages = slices.Concat(got.Messages), slices.Concat(want.Messages) // none is nil
	m.same(what, got, want)
}

// sameError compares refusals; of an InvalidError only the field counts.
func (m *machine) sameError(what string, got, want error) {
	m.Helper()
	same := errors.Is(got, want)
	if field := (*delivery.InvalidError)(nil); errors.As(want, &field) {
		name := field.Field
		same = errors.As(got, &field) && field.Field == name
	}
	if !same {
		m.Fatalf("%s returned the error %v, want %v", what, got, want)
	}
}

// text is a value with all that it points to.
func text(v any) string {
	if text, err := json.Marshal(v); err == nil {
		return string(text)
	}
	return fmt.Sprintf("%+v", v) // a receipt that is not there
}

// message returns a message with ticks for times.
func (m *machine) message(got delivery.Message) delivery.Message {
	got.SentAt, got.DeliveredAt, got.ReadAt = m.at(got.SentAt), m.at(got.DeliveredAt), m.at(got.ReadAt)
	if got.Own != nil {
		own := delivery.Own(m.receipt(delivery.Receipt(*got.Own)))
		got.Own = &own
	}
	return got
}

func (m *machine) receipt(got delivery.Receipt) delivery.Receipt {
	got.DeliveredAt, got.ReadAt = m.at(got.DeliveredAt), m.at(got.ReadAt)
	return got
}

// event returns an event with ticks for times, in canonical order.
func (m *machine) event(got delivery.Event) delivery.Event {
	got.Updates = slices.Clone(got.Updates)
	for i := range got.Updates {
		if u := &got.Updates[i]; u.Receipt != nil {
			receipt := m.receipt(*u.Receipt)
			u.Receipt = &receipt
		}
	}
	return canonical(got)
}

func (m *machine) at(t time.Time) time.Time {
	m.Helper()
	if t.IsZero() {
		return t
	}
	if t.Location() != time.UTC || t != t.Truncate(time.Microsecond) {
		m.Fatalf("the time %v is not in UTC, to the microsecond", t)
	}
	return m.clock.at(t)
}

// clock gives every call a tick: a time of its own that the reference can know in advance.
type clock struct{ began []time.Time }

// tick waits for a microsecond in which no other call was under way, and returns its tick.
func (c *clock) tick() time.Time {
	before := time.Now().Truncate(time.Microsecond)
	for {
		if now := time.Now().Truncate(time.Microsecond); now.After(before) {
			c.began = append(c.began, now)
			return time.Unix(int64(len(c.began)-1), 0).UTC()
		}
	}
}

// at returns the tick of the call in which t was.
func (c *clock) at(t time.Time) time.Time {
	n := len(c.began) - 1
	for n >= 0 && c.began[n].After(t) {
		n--
	}
	return time.Unix(int64(n), 0).UTC()
}
