package sseadapter_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/sseadapter"
)

func TestASlowReaderIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, &sseadapter.Options{Buffer: 10_000})
		slow, quick := w.open("bob", "conversation=c1", ""), w.open("carol", "conversation=c1", "")
		w.greeted(slow)
		w.greeted(quick)
		slow.jam(true)
		w.send("c1", "first")
		w.flush() // the slow stream is in a write now
		for i := range 100 {
			w.send("c1", fmt.Sprint("m", i))
			w.flush()
		}
		if got := len(quick.next()); got != 101 {
			t.Errorf("the quick reader heard %d events", got)
		}
		time.Sleep(sseadapter.DefaultWriteTimeout)
		synctest.Wait()
		if !slow.hasEnded() {
			t.Error("a reader that takes nothing was not cut off")
		}
	})
}

func TestTheEndOfRunDoesNotWaitForALongCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(lossy)
		w := newWorld(t, bus, nil, nil)
		tape := w.open("bob", "conversation=c1", "")
		w.greeted(tape)
		bus.broken.Store(true)
		for i := range 2000 {
			w.send("c1", fmt.Sprintf("m-%0100d", i))
		}
		w.flush()
		bus.broken.Store(false)
		tape.slow(9 * time.Second)
		bus.cut()
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if tape.hasEnded() || len(tape.next()) == 0 {
			t.Error("the stream does not catch up")
		}
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 2*sseadapter.DefaultWriteTimeout {
			t.Errorf("Run returned after %v", took)
		}
	})
}

func TestAStreamThatDroppedItsQueueReadsTheChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := make(chan struct{})
		source := &slowSource{release: reads}
		w := newWorld(t, nil, source, &sseadapter.Options{Buffer: 10_000})
		source.Tracker = w.tracker
		tape := w.open("bob", "conversation=c1", w.position("c1")) // waits for its first read
		for i := range 200 {
			w.send("c1", fmt.Sprint("m", i))
		}
		w.flush()
		close(reads)
		synctest.Wait()
		_, _, events := w.greeted(tape)
		told := make(map[string]int)
		for _, e := range events {
			for _, u := range payload(t, e).Expand() {
				told[u.Message]++
			}
		}
		if len(told) != 200 || len(events) > 10 || events[len(events)-1].id != w.position("c1") {
			t.Errorf("it told %d messages in %d events, up to %s", len(told), len(events), events[len(events)-1].id)
		}
	})
}

// slowSource is a source whose changes are read before, and answered after, its release.
type slowSource struct {
	*delivery.Tracker
	release chan struct{}
}

func (s *slowSource) ChangesFor(ctx context.Context, actor delivery.Actor, conversation string, since delivery.Cursor, limit int) (delivery.Page, error) {
	page, err := s.Tracker.ChangesFor(ctx, actor, conversation, since, limit)
	<-s.release
	return page, err
}
