package delivery

// Repeats share a write: of what says the same in one batch, only the first goes to the store.

// once returns the items with distinct keys, each the first of its key, and for each item the index
// of the one that stands for it there.
func once[T any, K comparable](items []T, key func(T) K) (first []T, by []int) {
	if len(items) == 1 {
		return items, single[0]
	}
	by = make([]int, len(items))
	seen := make(map[K]int)
	for i, item := range items {
		k := key(item)
		if i > 0 && k == key(items[i-1]) {
			by[i] = by[i-1]
			continue
		}
		at, ok := seen[k]
		if !ok {
			at = len(seen)
			seen[k] = at
			first = append(first, item)
		}
		by[i] = at
	}
	return first, by
}

// fold splits marks into rounds of distinct receipts, as indexes in order. A mark that says no more
// than an earlier one of the same receipt is in no round, as it changes nothing after that one. For
// each mark, by is the index of the mark that is written for it: its own, or the earlier one's.
func fold(marks []Mark) (rounds [][]int, by []int) {
	if len(marks) == 1 {
		return single, single[0]
	}
	type receipt struct{ message, user string }
	type trace struct{ last, n int } // of the marks that are written: the last one, and how many
	traces := make(map[receipt]trace, len(marks))
	before := make([]int, len(marks)) // the one written before this one, of the same receipt
	by = make([]int, len(marks))
	for i, m := range marks {
		key := receipt{m.Message, m.User}
		t, ok := traces[key]
		if !ok {
			t.last = -1
		}
		k := t.last
		for k >= 0 && !marks[k].implies(m) {
			k = before[k]
		}
		if k >= 0 {
			by[i] = k
			continue
		}
		by[i], before[i] = i, t.last
		if t.n == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[t.n] = append(rounds[t.n], i)
		traces[key] = trace{i, t.n + 1}
	}
	return rounds, by
}

// implies reports whether another mark of the same receipt changes nothing after this one. So a
// batch writes no receipt more than four times: as delivered and as read, without and with the
// rule's yes.
func (m Mark) implies(other Mark) bool {
	return m.Status.Reaches(other.Status) && (m.Admitted || !other.Admitted)
}

// pick returns the items at these indexes, which ascend.
func pick[T any](items []T, at []int) []T {
	if len(at) == len(items) {
		return items
	}
	out := make([]T, len(at))
	for i, j := range at {
		out[i] = items[j]
	}
	return out
}

var single = [][]int{{0}}
