package pusheradapter

import "slices"

// maxBatch is how many triggers Pusher takes in one call, whatever they hold: up to MaxData each.
const maxBatch = 10

// outgoing is a trigger on its way, and the indexes of the events it tells of.
type outgoing struct {
	Trigger
	of []int
}

// lanes arranges triggers in batches, and these in lanes. Batches of one lane are to be sent one
// after another, lanes at the same time. The triggers of one channel share a lane, in their order;
// the channels that fit in one batch share it.
func lanes(triggers []outgoing) [][][]outgoing {
	var lanes [][][]outgoing
	var open []outgoing // a batch with room for another channel
	for _, channel := range byChannel(triggers) {
		switch {
		case len(channel) > maxBatch:
			lanes = append(lanes, slices.Collect(slices.Chunk(channel, maxBatch)))
		case len(open)+len(channel) <= maxBatch:
			open = append(open, channel...)
		default:
			lanes = append(lanes, [][]outgoing{open})
			open = channel
		}
	}
	if len(open) > 0 {
		lanes = append(lanes, [][]outgoing{open})
	}
	return lanes
}

// byChannel groups triggers by their channel, both in order of appearance.
func byChannel(triggers []outgoing) [][]outgoing {
	var groups [][]outgoing
	index := make(map[string]int)
	for _, t := range triggers {
		i, ok := index[t.Channel]
		if !ok {
			i = len(groups)
			index[t.Channel] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], t)
	}
	return groups
}
