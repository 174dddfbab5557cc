package filler

import (
	"fmt"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

func TestAPage(t *testing.T) {
	message := func(n int64) delivery.Message {
		return delivery.Message{
			Header: delivery.Header{ID: fmt.Sprint("m", n), Seq: n}, Body: strings.Repeat("x", 100),
			Tally: delivery.Tally{Version: 10 + n},
		}
	}
	first := message(1)
	size := first.Size()
	for _, test := range []struct {
		name    string
		list    delivery.List
		seqs    []int64 // as they are added
		want    string  // as they are on the page
		more    bool
		version int64
	}{
		{"has all there is up to its limit", delivery.List{Limit: 3}, []int64{1, 2, 3}, "[1 2 3]", false, 99},
		{"says that there is more than its limit", delivery.List{Limit: 2}, []int64{1, 2, 3}, "[1 2]", true, 99},
		{"ends before it takes more bytes than it may", delivery.List{Limit: 9, Bytes: 2*size + 1}, []int64{1, 2, 3}, "[1 2]", true, 99},
		{"takes as many bytes as it may", delivery.List{Limit: 9, Bytes: 2 * size}, []int64{1, 2}, "[1 2]", false, 99},
		{"has its first message whatever it takes", delivery.List{Limit: 9, Bytes: 1}, []int64{1, 2}, "[1]", true, 99},
		{"before a place is in order of seq", delivery.List{Limit: 2, Before: 9}, []int64{3, 2, 1}, "[2 3]", true, 99},
		{"of changes that has all is at the conversation's version", delivery.List{Limit: 3, Changes: true}, []int64{2, 1}, "[2 1]", false, 99},
		{"of changes that has not all is at its last one's version", delivery.List{Limit: 1, Changes: true}, []int64{2, 1}, "[2]", true, 12},
		{"of changes is in order of version, whatever Before is", delivery.List{Limit: 3, Changes: true, Before: 9}, []int64{2, 1}, "[2 1]", false, 99},
	} {
		f := Filler{List: test.list}
		room := true
		for _, n := range test.seqs {
			if !room {
				t.Errorf("a page %s: it had no room before the last message", test.name)
			}
			room = f.Add(message(n))
		}
		if room == test.more {
			t.Errorf("a page %s: it had room: %t", test.name, room)
		}
		page := f.Done(delivery.Cursor{Version: 99, Epoch: 7})
		var seqs []int64
		for _, m := range page.Messages {
			seqs = append(seqs, m.Seq)
		}
		if fmt.Sprint(seqs) != test.want || page.More != test.more || page.Version != test.version || page.Epoch != 7 {
			t.Errorf("a page %s: %v, more %t, %+v", test.name, seqs, page.More, page.Cursor)
		}
	}
}
