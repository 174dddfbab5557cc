package delivery

import (
	"fmt"
	"testing"
)

func TestRounds(t *testing.T) {
	mark := func(user string, status Status, admitted bool) Mark {
		return Mark{Message: "m", User: user, Status: status, Admitted: admitted}
	}
	for _, c := range []struct {
		name   string
		marks  []Mark
		rounds string
		by     string
	}{
		{"one mark is one round", []Mark{mark("bob", Read, false)}, "[[0]]", "[0]"},
		{"different users share a round", []Mark{mark("bob", Read, false), mark("carol", Read, false)}, "[[0 1]]", "[0 1]"},
		{"equal marks are written once", []Mark{mark("bob", Read, false), mark("bob", Read, false), mark("bob", Read, false)}, "[[0]]", "[0 0 0]"},
		{"a step back is written by the mark that went further", []Mark{mark("bob", Read, false), mark("bob", Delivered, false)}, "[[0]]", "[0 0]"},
		{"a step forward is a write of its own", []Mark{mark("bob", Delivered, false), mark("bob", Read, false)}, "[[0] [1]]", "[0 1]"},
		{"a mark that the rule has let in is no repeat of one that it was not asked about",
			[]Mark{mark("bob", Read, false), mark("bob", Read, true), mark("bob", Read, false)}, "[[0] [1]]", "[0 1 1]"},
		{"nothing is written more than four times",
			[]Mark{
				mark("bob", Delivered, false), mark("bob", Read, false), mark("bob", Delivered, true), mark("bob", Read, false),
				mark("bob", Read, true), mark("bob", Delivered, false), mark("bob", Delivered, true), mark("bob", Read, true),
			}, "[[0] [1] [2] [4]]", "[0 1 2 1 4 4 4 4]"},
		{"each receipt has rounds of its own",
			[]Mark{mark("bob", Delivered, false), mark("carol", Read, false), mark("bob", Read, false), mark("carol", Delivered, false)},
			"[[0 1] [2]]", "[0 1 2 1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rounds, by := markKind.rounds(c.marks)
			if fmt.Sprint(rounds) != c.rounds || fmt.Sprint(by) != c.by {
				t.Errorf("got %v by %v, want %s by %s", rounds, by, c.rounds, c.by)
			}
		})
	}
}
