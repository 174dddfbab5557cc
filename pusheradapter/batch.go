package pusheradapter

// maxBatch is how many triggers Pusher takes in one call, whatever they hold: up to MaxData each.
const maxBatch = 10

// outgoing is a trigger on its way, and the indexes of the events that it publishes.
type outgoing struct {
	Trigger
	of []int
}

// lanes arranges triggers in batches of up to so many events and bytes of data, and these in lanes.
// Batches of one lane are to be sent one after another, lanes at the same time. The triggers of one
// channel share a lane, in their order; the channels that fit in one batch share it.
func lanes(triggers []outgoing, events, bytes int) [][][]outgoing {
	var lanes [][][]outgoing
	open := make([]outgoing, 0, min(len(triggers), maxBatch)) // a batch with room for another channel
	for _, channel := range byChannel(triggers) {
		switch {
		case len(channel) > events || sizeOf(channel) > bytes:
			lanes = append(lanes, pack(channel, events, bytes))
		case len(open)+len(channel) <= events && sizeOf(open)+sizeOf(channel) <= bytes:
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
	groups := make([][]outgoing, 0, len(triggers))
	index := make(map[string]int, len(triggers))
	for i, t := range triggers {
		if group, ok := index[t.Channel]; ok {
			groups[group] = append(groups[group], t)
			continue
		}
		index[t.Channel] = len(groups)
		groups = append(groups, triggers[i:i+1:i+1]) // not copied until a second one comes
	}
	return groups
}
