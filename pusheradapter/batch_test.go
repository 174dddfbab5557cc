package pusheradapter

import (
	"strings"
	"testing"
)

func TestLanes(t *testing.T) {
	// A trigger is written as its channel.
	tests := []struct{ name, triggers, want string }{
		{"nothing", "", ""},
		{"one", "a", "a"},
		{"ten of one channel", "a a a a a a a a a a", "a a a a a a a a a a"},
		{"eleven of one channel go one batch after another", "a a a a a a a a a a a", "a a a a a a a a a a, a"},
		{"eleven of as many channels go at the same time", "a b c d e f g h i j k", "a b c d e f g h i j; k"},
		{"a channel stays together", "a b a c b a", "a a a b b c"},
		{"a channel that would be cut gets a batch of its own", "a a a a a a a b b b b b c", "a a a a a a a; b b b b b c"},
		{"a channel of many batches leaves the others to theirs", "a b b b b b b b b b b b c", "b b b b b b b b b b, b; a c"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var triggers []outgoing
			for i, s := range strings.Fields(test.triggers) {
				triggers = append(triggers, outgoing{Trigger{Channel: s}, []int{i}})
			}
			var got []string
			order := make(map[string]int)
			for _, lane := range lanes(triggers, maxBatch, maxBatch*MaxData) {
				var batches []string
				for _, batch := range lane {
					var names []string
					for _, o := range batch {
						names = append(names, o.Channel)
						if o.of[0] < order[o.Channel] {
							t.Errorf("trigger %d comes after %d", o.of[0], order[o.Channel])
						}
						order[o.Channel] = o.of[0]
					}
					batches = append(batches, strings.Join(names, " "))
				}
				got = append(got, strings.Join(batches, ", "))
			}
			if text := strings.Join(got, "; "); text != test.want {
				t.Errorf("lanes are %s, want %s", text, test.want)
			}
		})
	}
}
