package delivery

import (
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

func TestRecent(t *testing.T) {
	fill := func(r *recent[int], from, n int) {
		for i := range n {
			r.put(strconv.Itoa(from+i), from+i)
		}
	}
	t.Run("the latest keys are there, and of the others no more than as many again", func(t *testing.T) {
		var r recent[int]
		fill(&r, 0, 10*generation)
		for i := range generation {
			key := 10*generation - 1 - i
			if value, ok := r.get(strconv.Itoa(key)); !ok || value != key {
				t.Fatalf("key %d holds %d, %v", key, value, ok)
			}
		}
		if n := len(r.young) + len(r.old); n > 2*generation {
			t.Errorf("%d keys are remembered", n)
		}
	})
	t.Run("a key has its latest value, which takes no room of others", func(t *testing.T) {
		var r recent[int]
		fill(&r, 0, generation)
		for i := range 3 * generation {
			r.put("0", -i)
		}
		if value, _ := r.get("0"); value != 1-3*generation {
			t.Errorf("it holds %d", value)
		}
		if value, ok := r.get("1"); !ok || value != 1 {
			t.Errorf("the next one holds %d, %v", value, ok)
		}
	})
	t.Run("a key keeps nothing larger in memory that it was a part of", func(t *testing.T) {
		var r recent[int]
		part := strings.Repeat("x", 1<<10)[7:9]
		r.put(part, 1)
		for key := range r.young {
			if unsafe.StringData(key) == unsafe.StringData(part) {
				t.Error("it is a part of it")
			}
		}
	})
	t.Run("what was put again outlives what was not", func(t *testing.T) {
		var r recent[int]
		fill(&r, 0, generation)
		fill(&r, generation, 1) // a new generation
		r.put("0", -1)
		fill(&r, 2*generation, generation)
		if value, ok := r.get("0"); !ok || value != -1 {
			t.Errorf("it holds %d, %v", value, ok)
		}
		if _, ok := r.get("1"); ok {
			t.Error("the other one is still there")
		}
	})
}
