package delivery_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

func TestStatus(t *testing.T) {
	t.Run("every pair of statuses is ordered as the ladder says", func(t *testing.T) {
		const none = delivery.Status(0)
		reaches := map[[2]delivery.Status]bool{
			{delivery.Sent, delivery.Sent}:           true,
			{delivery.Delivered, delivery.Sent}:      true,
			{delivery.Delivered, delivery.Delivered}: true,
			{delivery.Read, delivery.Sent}:           true,
			{delivery.Read, delivery.Delivered}:      true,
			{delivery.Read, delivery.Read}:           true,
		}
		all := []delivery.Status{none, delivery.Sent, delivery.Delivered, delivery.Read, delivery.Read + 1, 255}
		for _, s := range all {
			for _, rung := range all {
				if got, want := s.Reaches(rung), reaches[[2]delivery.Status{s, rung}]; got != want {
					t.Errorf("%v reaches %v: %v, want %v", s, rung, got, want)
				}
			}
		}
	})

	t.Run("the text form is lower case and goes both ways", func(t *testing.T) {
		for s, text := range map[delivery.Status]string{delivery.Sent: "sent", delivery.Delivered: "delivered", delivery.Read: "read"} {
			if s.String() != text {
				t.Errorf("%d is %q, want %q", s, s, text)
			}
			if got, err := delivery.ParseStatus(text); got != s || err != nil {
				t.Errorf("%q parses to %v, %v", text, got, err)
			}
			if got, err := json.Marshal(s); string(got) != `"`+text+`"` || err != nil {
				t.Errorf("%v marshals to %s, %v", s, got, err)
			}
		}
	})

	t.Run("unknown text is an error that names the field", func(t *testing.T) {
		for _, text := range []string{"", "Sent", "READ", "read ", "failed", "Status(0)", "1", "\x00"} {
			s := delivery.Read
			err := s.UnmarshalText([]byte(text))
			var invalid *delivery.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != "status" || s != 0 {
				t.Errorf("%q: got %v, %v", text, s, err)
			}
		}
	})

	t.Run("an invalid status does not marshal", func(t *testing.T) {
		for _, s := range []delivery.Status{0, 4, 255} {
			if got, err := json.Marshal(s); err == nil {
				t.Errorf("%v marshals to %s", s, got)
			}
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	for _, text := range []string{"sent", "delivered", "read", "", "Read", "failed", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := delivery.ParseStatus(text)
		if err == nil && (!s.Valid() || s.String() != text) {
			t.Errorf("%q parses to %v", text, s)
		}
		if err != nil && s != 0 {
			t.Errorf("%q is refused but parses to %v", text, s)
		}
	})
}

// FuzzAdvance walks a receipt and its message's tally through any marks and holds them against what
// the highest mark so far says.
func FuzzAdvance(f *testing.F) {
	f.Add([]byte{2, 3, 2}, 1)
	f.Add([]byte{3, 3, 1, 0, 255}, 2)
	f.Fuzz(func(t *testing.T, marks []byte, quorum int) {
		var r delivery.Receipt
		header := delivery.Header{Quorum: quorum}
		tally := delivery.Tally{Status: delivery.Sent}
		var highest delivery.Status
		first := map[delivery.Status]time.Time{}
		for i, b := range marks {
			to, at, before := delivery.Status(b), time.Unix(int64(i+1), 0), r
			advanced := r.Advance(header, to, at)
			if advanced != (to.Valid() && to > highest) {
				t.Fatalf("mark %d: %v after %v advanced: %v", i, to, highest, advanced)
			}
			if !advanced {
				if r != before {
					t.Fatalf("mark %d: changed without advancing", i)
				}
				continue
			}
			highest = to
			for rung := delivery.Delivered; rung <= to; rung++ {
				if first[rung].IsZero() {
					first[rung] = at
				}
			}
			tally.Count(header, before, r)
		}
		if r.Status != highest || !r.DeliveredAt.Equal(first[delivery.Delivered]) || !r.ReadAt.Equal(first[delivery.Read]) {
			t.Errorf("receipt %+v, want status %v and times %v", r, highest, first)
		}
		count := func(rung delivery.Status) int {
			if highest.Reaches(rung) {
				return 1
			}
			return 0
		}
		if tally.Delivered != count(delivery.Delivered) || tally.Read != count(delivery.Read) {
			t.Errorf("tally %+v for a receipt at %v", tally, highest)
		}
	})
}

func TestATallyReachesAStatusWithItsQuorum(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2024, 5, 6, 12, minute, 0, 0, time.UTC) }
	tally := delivery.Tally{Version: 7, Status: delivery.Sent}
	for i, step := range []struct {
		from, to delivery.Status
		want     delivery.Tally
	}{
		{delivery.Sent, delivery.Delivered, delivery.Tally{Status: delivery.Sent, Delivered: 1}},
		{0, delivery.Read, delivery.Tally{Status: delivery.Delivered, Delivered: 2, Read: 1, DeliveredAt: at(1)}},
		{delivery.Sent, delivery.Delivered, delivery.Tally{Status: delivery.Delivered, Delivered: 3, Read: 1, DeliveredAt: at(1)}},
		{delivery.Delivered, delivery.Read, delivery.Tally{Status: delivery.Read, Delivered: 3, Read: 2, DeliveredAt: at(1), ReadAt: at(3)}},
		{delivery.Delivered, delivery.Read, delivery.Tally{Status: delivery.Read, Delivered: 3, Read: 3, DeliveredAt: at(1), ReadAt: at(3)}},
		{delivery.Sent, delivery.Read, delivery.Tally{Status: delivery.Read, Delivered: 4, Read: 4, DeliveredAt: at(1), ReadAt: at(3)}},
	} {
		receipt := delivery.Receipt{Status: step.from}
		receipt.Advance(delivery.Header{}, step.to, at(i))
		tally.Count(delivery.Header{Quorum: 2}, delivery.Receipt{Status: step.from}, receipt)
		if step.want.Version = 7; tally != step.want {
			t.Errorf("after step %d it is %+v, want %+v", i+1, tally, step.want)
		}
	}
}
