package memstore

// stepsBySocket gathers the steps of a batch into those that share an event.
type stepsBySocket struct {
	groups []stepGroup
	index  map[groupKey]int
}

type groupKey struct {
	conversation *conversation
	socket       string
}

type stepGroup struct {
	groupKey
	steps []step
}

func (s *stepsBySocket) add(socket string, step step) {
	key := groupKey{step.message.conversation, socket}
	i, ok := s.index[key]
	if !ok {
		if s.index == nil {
			s.index = map[groupKey]int{}
		}
		i = len(s.groups)
		s.index[key] = i
		s.groups = append(s.groups, stepGroup{groupKey: key})
	}
	s.groups[i].steps = append(s.groups[i].steps, step)
}
