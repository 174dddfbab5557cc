package pusheradapter

// Limits of one call. Pusher names only the first; servers and proxies in front of them have a
// limit of the request's size, too.
const (
	maxBatch      = 10
	maxBatchBytes = 64 << 10
)

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
		batches := batches(channel)
		switch {
		case len(batches) > 1:
			lanes = append(lanes, batches)
		case fit(open, channel):
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

// batches cuts triggers into batches that keep the limits.
func batches(triggers []outgoing) [][]outgoing {
	var batches [][]outgoing
	start := 0
	for i := range triggers {
		if !fit(triggers[start:i], triggers[i:i+1]) {
			batches = append(batches, triggers[start:i])
			start = i
		}
	}
	return append(batches, triggers[start:])
}

// fit reports whether two lists of triggers make one batch.
func fit(a, b []outgoing) bool {
	size := 0
	for _, t := range a {
		size += len(t.Data)
	}
	for _, t := range b {
		size += len(t.Data)
	}
	return len(a)+len(b) <= maxBatch && size <= maxBatchBytes
}
