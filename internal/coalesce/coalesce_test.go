package coalesce

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func double(_ context.Context, items []int) []Result[int] {
	results := make([]Result[int], len(items))
	for i, n := range items {
		results[i].Out = 2 * n
	}
	return results
}

var users atomic.Int64

// do is a call of a user who makes no other, with one key for all items. It returns the results, or
// the last error.
func do(ctx context.Context, g *Group[int, int], key string, in ...int) (outs []int, err error) {
	items := make([]Item[int], len(in))
	for i, n := range in {
		items[i] = Item[int]{n, key}
	}
	for _, r := range g.Do(ctx, fmt.Sprint(users.Add(1)), items...) {
		outs = append(outs, r.Out)
		if r.Err != nil {
			err = r.Err
		}
	}
	return outs, err
}

// desk writes batches, each in a second and a little, and notes them.
type desk struct {
	mu    sync.Mutex
	busy  int
	most  int // at a time
	sizes []int
}

func (d *desk) write(ctx context.Context, items []int) []Result[int] {
	d.mu.Lock()
	d.busy++
	d.most = max(d.most, d.busy)
	d.sizes = append(d.sizes, len(items))
	d.mu.Unlock()
	time.Sleep(slow/2 + time.Duration(items[0])*time.Millisecond)
	d.mu.Lock()
	d.busy--
	d.mu.Unlock()
	return double(ctx, items)
}

// crew returns a group of several writers, with a pause in which everyone who got an answer comes
// again.

// hangAtZero doubles, and hangs in a batch that begins with 0.
func hangAtZero(ctx context.Context, items []int) []Result[int] {
	if items[0] == 0 {
		<-ctx.Done()
	}
	return double(ctx, items)
}

func crew(t *testing.T, writers, max int, do Func[int, int]) *Group[int, int] {
	g := New(max, time.Minute, nil, do)
	g.Slots, g.Pause = make(Slots, writers), func() { time.Sleep(time.Microsecond) }
	t.Cleanup(func() { time.Sleep(time.Second) }) // until the leaders have left
	return g
}

func TestGroup(t *testing.T) {
	t.Run("a call alone goes out at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(10, time.Minute, nil, double)
			began := time.Now()
			outs, err := do(t.Context(), g, "", 1, 2)
			if err != nil || !slices.Equal(outs, []int{2, 4}) {
				t.Errorf("got %v, %v", outs, err)
			}
			if waited := time.Since(began); waited != 0 {
				t.Errorf("waited %v", waited)
			}
		})
	})

	t.Run("calls during a flight form the next batch, in order, up to the maximum", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var batches [][]int
			g := New(3, time.Minute, nil, func(ctx context.Context, items []int) []Result[int] {
				batches = append(batches, slices.Clone(items))
				time.Sleep(time.Second)
				return double(ctx, items)
			})
			var wg sync.WaitGroup
			for n := range 6 {
				wg.Go(func() {
					time.Sleep(time.Duration(n) * time.Millisecond)
					outs, err := do(t.Context(), g, "", n)
					if err != nil || outs[0] != 2*n {
						t.Errorf("%d: got %v, %v", n, outs, err)
					}
				})
			}
			wg.Wait()
			if got := fmt.Sprint(batches); got != "[[0] [1 2 3] [4 5]]" {
				t.Errorf("batches %s", got)
			}
		})
	})

	t.Run("batches are bounded by weight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var batches [][]int
			weight := func(n int) int { return n }
			g := New(10, time.Minute, weight, func(ctx context.Context, items []int) []Result[int] {
				batches = append(batches, slices.Clone(items))
				time.Sleep(time.Second)
				return double(ctx, items)
			})
			var wg sync.WaitGroup
			for i, n := range []int{1, 4, 6, 1, 30, 2} {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond)
					if _, err := do(t.Context(), g, "", n); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if got := fmt.Sprint(batches); got != "[[1] [4 6] [30] [1 2]]" {
				t.Errorf("batches %s", got)
			}
		})
	})

	t.Run("callers who come again at once share the next batch", func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // goroutines take turns
		const callers, calls = 8, 100
		batches := 0
		g := New(callers, time.Minute, nil, func(ctx context.Context, items []int) []Result[int] {
			batches++
			runtime.Gosched() // a while
			return double(ctx, items)
		})
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for n := range calls {
					if _, err := do(t.Context(), g, "", n); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if batches > calls*5/4 {
			t.Errorf("%d batches, with %d calls of each caller", batches, calls)
		}
	})

	t.Run("an item of more than the maximum goes alone", func(t *testing.T) {
		g := New(2, time.Minute, func(n int) int { return n }, double)
		outs, err := do(t.Context(), g, "", 3, 1, 4)
		if err != nil || !slices.Equal(outs, []int{6, 2, 8}) {
			t.Errorf("got %v, %v", outs, err)
		}
	})

	t.Run("groups that share slots write as many batches at a time as there are, and both have their turn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w desk
			slots := make(Slots, 1)
			one, two := crew(t, 1, 10, w.write), crew(t, 1, 10, w.write)
			one.Slots, two.Slots = slots, slots
			var wg sync.WaitGroup
			for range 4 {
				for _, g := range []*Group[int, int]{one, two} {
					wg.Go(func() {
						for range 5 {
							began := time.Now()
							do(t.Context(), g, "", 1)
							if waited := time.Since(began); waited > 4*time.Second {
								t.Errorf("waited %v", waited)
							}
						}
					})
				}
			}
			wg.Wait()
			if w.most != 1 {
				t.Errorf("%d batches at a time", w.most)
			}
		})
	})

	t.Run("a crowd's batches are written by several at a time, in equal shares", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const callers, calls, writers = 120, 20, 3
			var w desk
			g := crew(t, writers, 1000, w.write)
			var wg sync.WaitGroup
			for n := range callers {
				wg.Go(func() {
					for range calls {
						if outs, err := do(t.Context(), g, fmt.Sprint(n), n); err != nil || outs[0] != 2*n {
							t.Errorf("%d: got %v, %v", n, outs, err)
						}
					}
				})
			}
			wg.Wait()
			if w.most != writers {
				t.Errorf("%d batches at a time", w.most)
			}
			settled := w.sizes[4*writers : len(w.sizes)-4*writers]
			if want := slices.Repeat([]int{callers / writers}, len(settled)); !slices.Equal(settled, want) {
				t.Errorf("batches of %v", w.sizes)
			}
		})
	})

	t.Run("a few share one batch, and so they do after a crowd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w desk
			g := crew(t, 2, 1000, w.write)
			come := func(callers int) {
				w.most = 0
				var wg sync.WaitGroup
				for n := range callers {
					wg.Go(func() {
						for range 3 {
							do(t.Context(), g, fmt.Sprint(n), n)
						}
					})
				}
				wg.Wait()
			}
			var wg sync.WaitGroup
			for n := range Crowd * 3 / 4 { // one after another, during the first one's batch
				wg.Go(func() { do(t.Context(), g, fmt.Sprint(n), n) })
				synctest.Wait()
			}
			if wg.Wait(); w.most != 1 {
				t.Errorf("three quarters of a crowd had %d batches at a time", w.most)
			}
			for _, callers := range []int{1, Crowd} {
				if come(callers); w.most != 1 {
					t.Errorf("%d callers had %d batches at a time", callers, w.most)
				}
				if come(Crowd + 1); w.most != 2 {
					t.Errorf("a crowd had %d batches at a time", w.most)
				}
			}
		})
	})

	t.Run("what is left of a crowd shares one batch, or as long as it is half of one, has equal shares", func(t *testing.T) {
		for each, least := range map[int]int{6: Crowd / 2, 4: 3 * Crowd / 8} { // who stays
			synctest.Test(t, func(t *testing.T) {
				var w desk
				g := crew(t, 2, 1000, w.write)
				var wg sync.WaitGroup
				for n := range 3 * Crowd {
					wg.Go(func() {
						for i := range 40 {
							if i == 10 && n%each > 0 {
								return
							}
							do(t.Context(), g, fmt.Sprint(n), n)
						}
					})
				}
				wg.Wait()
				last := w.sizes[len(w.sizes)-20 : len(w.sizes)-5] // before some have done
				if slices.Min(last) < least || w.most != 2 {
					t.Errorf("batches of %v", w.sizes)
				}
			})
		}
	})

	t.Run("who comes to a crowd does not wait for a batch in flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w desk
			g := New(1000, time.Hour, nil, func(ctx context.Context, items []int) []Result[int] {
				if items[0] == 0 {
					time.Sleep(time.Minute)
				}
				return w.write(ctx, items)
			})
			g.Slots = make(Slots, 2)
			var late atomic.Int32
			var wg sync.WaitGroup
			wg.Go(func() { do(t.Context(), g, fmt.Sprint(0), 0) })
			synctest.Wait()
			for n := range 4 * Crowd {
				wg.Go(func() {
					began := time.Now()
					do(t.Context(), g, fmt.Sprint(1+n), 1+n)
					if time.Since(began) > 10*time.Second {
						late.Add(1)
					}
				})
			}
			wg.Wait()
			if late := late.Load(); late > Crowd/2 { // no crowd any more
				t.Errorf("%d waited for it", late)
			}
		})
	})

	t.Run("a batch that hangs keeps few others waiting, though they are no crowd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(1000, time.Hour, nil, hangAtZero)
			g.Slots = make(Slots, 2)
			hung, leave := context.WithTimeout(t.Context(), time.Minute)
			defer leave()
			var wg sync.WaitGroup
			wg.Go(func() { do(hung, g, "0", 0) })
			for n := range 50 {
				time.Sleep(time.Second)
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					defer cancel()
					if outs, err := do(ctx, g, fmt.Sprint(1+n), 1+n); err != nil || outs[0] != 2*(1+n) {
						t.Errorf("%d s later: %v, %v", n+1, outs, err)
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			if g.leaders+len(g.flying) != 0 {
				t.Error("a leader is still there")
			}
		})
	})

	t.Run("a call that came before a batch was slow waits for it no longer than those who come later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(1000, time.Hour, nil, hangAtZero)
			g.Slots = make(Slots, 2)
			hung, leave := context.WithTimeout(t.Context(), time.Minute)
			defer leave()
			var wg sync.WaitGroup
			wg.Go(func() { do(hung, g, "0", 0) })
			time.Sleep(slow / 2)
			began := time.Now()
			if outs, err := do(t.Context(), g, "1", 1); err != nil || outs[0] != 2 || time.Since(began) != slow/2 {
				t.Errorf("after %v: %v, %v", time.Since(began), outs, err)
			}
			leave()
			wg.Wait()
		})
	})

	t.Run("a heavy item is written before a lighter one that its user gave later with the same key", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var written []int
			g := crew(t, 2, 500, func(ctx context.Context, items []int) []Result[int] {
				mu.Lock()
				written = append(written, items...)
				mu.Unlock()
				time.Sleep(time.Second)
				return double(ctx, items)
			})
			g.weigh = func(n int) int { return n }
			var wg sync.WaitGroup
			call := func(user, key string, n int) {
				wg.Go(func() { g.Do(t.Context(), user, Item[int]{n, key}) })
				synctest.Wait()
			}
			call("first", "", 1)
			for n := range 24 {
				call(fmt.Sprint(n), fmt.Sprint(n), 1)
			}
			call("alice", "key", 9)
			call("alice", "key", 2)
			wg.Wait()
			if nine := slices.Index(written, 9); nine < 0 || nine > slices.Index(written, 2) {
				t.Errorf("written as %v", written)
			}
		})
	})

	t.Run("items with one key share a batch, though it is more than a writer's share", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const callers = 3 * Crowd
			var w desk
			g := crew(t, 2, 1000, w.write)
			var wg sync.WaitGroup
			for n := range callers {
				wg.Go(func() {
					for range 5 {
						do(t.Context(), g, fmt.Sprint(n%8/7), n) // of every 8, 7 have one key
					}
				})
			}
			wg.Wait()
			if n := len(w.sizes); slices.Max(w.sizes[n/2:]) < callers*7/8 {
				t.Errorf("batches of %v", w.sizes)
			}
		})
	})

	t.Run("a user's items are spread over the writers, those of one key in their order", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w desk
			var mu sync.Mutex
			var last [4]int
			g := crew(t, 2, 1000, func(ctx context.Context, items []int) []Result[int] {
				mu.Lock()
				for _, n := range items {
					if n < last[n/25] {
						t.Errorf("%d came after %d", n, last[n/25])
					}
					last[n/25] = n
				}
				mu.Unlock()
				return w.write(ctx, items)
			})
			items := make([]Item[int], 100)
			for n := range items {
				items[n] = Item[int]{n, fmt.Sprint(n / 25)}
			}
			for n, r := range g.Do(t.Context(), "alice", items...) {
				if r.Err != nil || r.Out != 2*n {
					t.Errorf("%d: %+v", n, r)
				}
			}
			if w.most != 2 || slices.Max(w.sizes) > 50 {
				t.Errorf("batches of %v, %d at a time", w.sizes, w.most)
			}
		})
	})

	t.Run("a user with few items goes before those with many, who take turns and make no large batches", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w desk
			g := New(500, time.Hour, nil, w.write)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			var served [32]int
			for n := range served {
				wg.Go(func() {
					items := make([]Item[int], 500)
					for ctx.Err() == nil {
						g.Do(ctx, fmt.Sprint("heavy", n), items...)
						served[n]++
					}
				})
			}
			time.Sleep(time.Minute)
			began := time.Now()
			for range 20 {
				do(t.Context(), g, "", 0)
			}
			if waited := time.Since(began); waited > 45*time.Second { // what flies, and perhaps one more
				t.Errorf("20 calls took %v", waited)
			}
			wg.Wait()
			time.Sleep(time.Minute) // until the leader has left
			synctest.Wait()
			if least, most := slices.Min(served[:]), slices.Max(served[:]); most-least > 1 {
				t.Errorf("users were served from %d to %d times", least, most)
			}
			if most := slices.Max(w.sizes[1:]); most > small+turn {
				t.Errorf("a batch of %d", most)
			}
			alone := 0
			for _, size := range w.sizes {
				if size == 1 {
					alone++
				}
			}
			if alone < 8 { // every other batch begins with the others
				t.Errorf("the user with few items shared all but %d batches", alone)
			}
		})
	})

	t.Run("users whose items never end leave turns to another user with many", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w desk
			g := New(500, time.Hour, nil, w.write)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for n := range 60 { // five calls of each user at a time
				wg.Go(func() {
					for ctx.Err() == nil {
						g.Do(ctx, fmt.Sprint("endless", n%12), make([]Item[int], 500)...)
					}
				})
			}
			time.Sleep(time.Minute)
			began := time.Now()
			do(t.Context(), g, "", make([]int, 4*turn)...)
			if waited := time.Since(began); waited > 40*time.Second { // of 13 users, 4 have a turn in a batch
				t.Errorf("it waited %v", waited)
			}
			wg.Wait()
			time.Sleep(time.Minute) // until the leader has left
		})
	})

	t.Run("a user with many items gets a turn, though another writer mostly has the key", func(t *testing.T) {
		g := New(500, time.Minute, nil, double)
		g.Slots = make(Slots, 2)
		serial := 0
		add := func(user, key string, n int) {
			items := make([]Item[int], n)
			for i := range items {
				items[i] = Item[int]{n, key}
			}
			g.leaders, g.flying = 2, []*batch[int, int]{{began: time.Now()}} // of which one is here
			g.join(&call[int, int]{left: n, results: make([]Result[int], n), done: make(chan struct{})}, user, items)
		}
		add("heavy", "key", 20)
		var last *batch[int, int]
		for range 20 {
			for range 70 {
				serial++
				key := fmt.Sprint(serial)
				if serial%7 == 0 {
					key = "key"
				}
				add(fmt.Sprint("u", serial), key, 1)
			}
			b, _ := g.take()
			for _, e := range b.entries {
				if e.In == 20 {
					return
				}
			}
			if last != nil {
				for _, key := range last.keys {
					delete(g.taken, key)
				}
				g.pending -= last.weight
			}
			last = b
		}
		t.Error("it had none in 20 batches")
	})

	t.Run("nobody starves: not a heavy item beside many light ones, not light ones beside many heavy ones", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			weight := func(n int) int { return max(n, 1) }
			g := New(100, time.Hour, weight, func(ctx context.Context, items []int) []Result[int] {
				time.Sleep(time.Second)
				return double(ctx, items)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for n := range 200 {
				wg.Go(func() {
					for ctx.Err() == nil {
						do(ctx, g, "", n/150*90) // every fourth is one that fills a batch
					}
				})
			}
			defer time.Sleep(time.Hour) // until the leader has left
			for _, n := range []int{0, 90, 150} {
				time.Sleep(time.Minute)
				began := time.Now()
				if do(t.Context(), g, "", n); time.Since(began) > 2*time.Minute {
					t.Errorf("an item of weight %d waited %v", n, time.Since(began))
				}
			}
			wg.Wait()
		})
	})

	t.Run("a user who waits alone has all of it in one batch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w desk
			g := New(500, time.Hour, nil, w.write)
			do(t.Context(), g, "", make([]int, 500)...)
			if got := fmt.Sprint(w.sizes); got != "[500]" {
				t.Errorf("batches of %v", got)
			}
		})
	})

	t.Run("what a user's turn leaves is taken later, and be it one item", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w desk
			g := New(500, time.Hour, nil, w.write)
			var calls sync.WaitGroup
			for _, items := range []int{1, turn + 1, turn + 1} {
				calls.Go(func() { do(t.Context(), g, "", make([]int, items)...) })
				synctest.Wait()
			}
			calls.Wait()
			if got := fmt.Sprint(w.sizes); got != "[1 32 2]" {
				t.Errorf("batches of %v", got)
			}
		})
	})

	t.Run("who leaves may still get an answer that comes soon", func(t *testing.T) {
		for late, known := range map[time.Duration]bool{499 * time.Millisecond: true, 501 * time.Millisecond: false} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				answer, err := Await(ctx, func() (int, error) {
					time.Sleep(time.Minute + late)
					return 7, nil
				})
				if known && (answer != 7 || err != nil) || !known && (!errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("%v after the end of ctx: %d, %v", late, answer, err)
				}
				time.Sleep(time.Second)
			})
		}
	})

	t.Run("nobody waits for long, however much comes with other keys", func(t *testing.T) {
		for _, hot := range []int{1, 2} { // keys; each has more than a full batch
			synctest.Test(t, func(t *testing.T) {
				var w desk
				g := crew(t, 2, 10, w.write)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for n := range 50 {
					wg.Go(func() {
						for ctx.Err() == nil {
							do(t.Context(), g, fmt.Sprint(n%hot), n)
						}
					})
				}
				time.Sleep(10 * time.Second)
				began := time.Now()
				do(t.Context(), g, "cold", 1)
				if waited := time.Since(began); waited > 5*time.Second {
					t.Errorf("with %d hot keys it waited %v", hot, waited)
				}
				wg.Wait()
				if most := slices.Max(w.sizes); most > 10 {
					t.Errorf("a batch of %d", most)
				}
			})
		}
	})

	t.Run("a crowd that waits for one key gives a writer to those who wait with another", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(1000, time.Hour, nil, func(ctx context.Context, items []int) []Result[int] {
				time.Sleep(time.Minute)
				return double(ctx, items)
			})
			g.Slots = make(Slots, 2)
			var wg sync.WaitGroup
			wg.Go(func() { do(t.Context(), g, "hot", 1) })
			synctest.Wait()
			began := time.Now()
			wg.Go(func() {
				do(t.Context(), g, "cold", 1)
				if waited := time.Since(began); waited != time.Minute {
					t.Errorf("it waited %v", waited)
				}
			})
			synctest.Wait()
			for range 2 * Crowd {
				wg.Go(func() { do(t.Context(), g, "hot", 1) })
			}
			wg.Wait()
		})
	})

	t.Run("what was taken back makes no crowd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w desk
			g := crew(t, 2, 1000, w.write)
			var wg sync.WaitGroup
			wg.Go(func() { do(t.Context(), g, "hot", 1) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			for range 2 * Crowd {
				wg.Go(func() { do(ctx, g, "hot", 1) })
			}
			time.Sleep(slow / 4)
			wg.Go(func() { do(t.Context(), g, "cold", 1) })
			wg.Wait()
			if w.most != 1 {
				t.Errorf("%d batches at a time", w.most)
			}
		})
	})

	t.Run("a key that all have is written in one batch after another, of all who are there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const callers = 100
			var w desk
			g := crew(t, 2, 1000, w.write)
			var wg sync.WaitGroup
			for n := range callers {
				wg.Go(func() {
					for range 3 {
						do(t.Context(), g, "key", n)
					}
				})
				if n == 0 {
					synctest.Wait()
				}
			}
			wg.Wait()
			if w.most != 1 {
				t.Errorf("%d batches at a time", w.most)
			}
			if got := fmt.Sprint(w.sizes); got != "[1 100 100 99]" {
				t.Errorf("batches of %v", w.sizes)
			}
		})
	})

	t.Run("batches in flight together have no key in common, whoever fails or leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const callers, calls, keys = 200, 50, 40
			var (
				mu     sync.Mutex
				taken  = map[string]bool{}
				shared int
			)
			name := func(n int) string { return fmt.Sprint(n * 7 % keys) } // of an item
			g := New(1000, time.Minute, nil, func(ctx context.Context, items []int) []Result[int] {
				mine := map[string]bool{}
				for _, n := range items {
					mine[name(n)] = true
				}
				mu.Lock()
				for name := range mine {
					if taken[name] {
						shared++
					}
					taken[name] = true
				}
				mu.Unlock()
				select {
				case <-time.After(time.Duration(1+items[0]%5) * time.Second / 5):
				case <-ctx.Done():
				}
				mu.Lock()
				for name := range mine {
					delete(taken, name)
				}
				mu.Unlock()
				switch rand.N(20) {
				case 0:
					panic("bad luck")
				case 1:
					runtime.Goexit()
				case 2:
					return nil
				}
				return double(ctx, items)
			})
			g.Slots = make(Slots, 3)
			var wg sync.WaitGroup
			for n := range callers {
				wg.Go(func() {
					for range calls {
						began := time.Now()
						ctx, cancel := context.WithTimeout(t.Context(), rand.N(10*time.Second))
						outs, err := do(ctx, g, name(n), n)
						if cancel(); err == nil && outs[0] != 2*n {
							t.Errorf("%d: got %v", n, outs)
						}
						if waited := time.Since(began); waited > 10*time.Second {
							t.Errorf("%d waited %v", n, waited)
						}
					}
				})
			}
			wg.Wait()
			if shared > 0 {
				t.Errorf("%d times a key was in two batches", shared)
			}
			time.Sleep(time.Minute)
			if synctest.Wait(); g.pending+g.leaders+len(g.flying)+len(g.lines)+len(g.order)+len(g.taken) != 0 {
				t.Errorf("the group was left as %+v", g)
			}
		})
	})

	t.Run("a caller who leaves before the flight takes its items back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var seen []int
			g := New(10, time.Minute, nil, func(ctx context.Context, items []int) []Result[int] {
				seen = append(seen, items...)
				time.Sleep(time.Second)
				return double(ctx, items)
			})
			var wg sync.WaitGroup
			wg.Go(func() { do(t.Context(), g, "", 1) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := do(ctx, g, "", 2)
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnknown) {
				t.Errorf("got %v", err)
			}
			wg.Wait()
			if !slices.Equal(seen, []int{1}) {
				t.Errorf("done: %v", seen)
			}
		})
	})

	t.Run("a caller who leaves in flight doesn't know, and the flight goes on for the others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(10, time.Minute, nil, func(ctx context.Context, items []int) []Result[int] {
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(time.Second):
				}
				return double(ctx, items)
			})
			var wg sync.WaitGroup
			wg.Go(func() { do(t.Context(), g, "", 0) })
			synctest.Wait()
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				if _, err := do(ctx, g, "", 1); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("who left: %v", err)
				}
			})
			wg.Go(func() {
				if outs, err := do(t.Context(), g, "", 2); err != nil || outs[0] != 4 {
					t.Errorf("who stayed: %v, %v", outs, err)
				}
			})
			wg.Wait()
		})
	})

	t.Run("a batch ends when its last caller has left", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan time.Duration, 1)
			g := New(10, time.Minute, nil, func(ctx context.Context, items []int) []Result[int] {
				if items[0] > 0 { // the batch of those who came during the first
					began := time.Now()
					<-ctx.Done()
					ended <- time.Since(began)
				}
				time.Sleep(time.Second)
				return double(ctx, items)
			})
			go do(t.Context(), g, "", 0)
			synctest.Wait()
			var wg sync.WaitGroup
			for n := range 3 {
				wg.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Duration(n+2)*time.Second, cancel)
					if _, err := do(ctx, g, "", 1); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
						t.Errorf("who left: %v", err)
					}
				})
			}
			wg.Wait()
			if took := <-ended; took != 3*time.Second {
				t.Errorf("it ended after %v, want 3s", took)
			}
			time.Sleep(time.Second) // until the leader has left
		})
	})

	t.Run("a batch has the latest deadline among its callers, of whom those without one get the timeout", func(t *testing.T) {
		for _, test := range []struct{ callers, want []time.Duration }{
			{[]time.Duration{5 * time.Second, 3 * time.Second}, []time.Duration{5 * time.Second}},
			{[]time.Duration{5 * time.Second, 0}, []time.Duration{time.Minute}},
			{[]time.Duration{0, 2 * time.Minute}, []time.Duration{2 * time.Minute}},
		} {
			synctest.Test(t, func(t *testing.T) {
				var limits []time.Duration
				g := New(10, time.Minute, nil, func(ctx context.Context, items []int) []Result[int] {
					if items[0] > 0 {
						deadline, _ := ctx.Deadline()
						limits = append(limits, time.Until(deadline))
					}
					time.Sleep(time.Millisecond)
					return double(ctx, items)
				})
				go do(t.Context(), g, "", 0)
				synctest.Wait()
				var wg sync.WaitGroup
				for _, limit := range test.callers {
					ctx := t.Context()
					if limit > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, limit+time.Millisecond)
						defer cancel()
					}
					wg.Go(func() { do(ctx, g, "", 1) })
				}
				wg.Wait()
				if !slices.Equal(limits, test.want) {
					t.Errorf("callers with %v: batches of %v, want %v", test.callers, limits, test.want)
				}
			})
		}
	})

	t.Run("a function that does not return is left behind, and the others go on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hole := make(chan struct{})
			defer close(hole)
			g := New(10, time.Minute, nil, func(ctx context.Context, items []int) []Result[int] {
				if items[0] == 0 {
					<-hole
				}
				return double(ctx, items)
			})
			began := time.Now()
			go do(t.Context(), g, "a", 0)
			synctest.Wait()
			if outs, err := do(t.Context(), g, "a", 1); err != nil || outs[0] != 2 {
				t.Errorf("got %v, %v", outs, err)
			}
			if waited := time.Since(began); waited != time.Minute+Lag {
				t.Errorf("waited %v", waited)
			}
			if _, err := do(t.Context(), g, "", 0); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who has no deadline gets %v", err)
			}
		})
	})

	t.Run("whatever the function does, everyone gets an answer", func(t *testing.T) {
		for name, answer := range map[string]func(context.Context) []Result[int]{
			"bad luck":              func(context.Context) []Result[int] { return []Result[int]{{Err: errors.New("bad luck")}} },
			"panic: oh no":          func(context.Context) []Result[int] { panic("oh no") },
			"ended its goroutine":   func(context.Context) []Result[int] { runtime.Goexit(); return nil },
			"2 results for 1 items": func(context.Context) []Result[int] { return make([]Result[int], 2) },
		} {
			synctest.Test(t, func(t *testing.T) {
				g := New(10, time.Minute, nil, func(ctx context.Context, _ []int) []Result[int] { return answer(ctx) })
				_, err := do(t.Context(), g, "", 1)
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s: got %v", name, err)
				}
				if errors.Is(err, ErrUnknown) != (name != "bad luck") {
					t.Errorf("%s: got %v, which says whether the work was done", name, err)
				}
				synctest.Wait()
				if g.leaders+len(g.flying)+len(g.order) != 0 {
					t.Errorf("%s: a leader is still there", name)
				}
			})
		}
	})

	t.Run("nothing of a caller's context reaches the function", func(t *testing.T) {
		type key struct{}
		g := New(10, time.Minute, nil, func(ctx context.Context, items []int) []Result[int] {
			if ctx.Value(key{}) != nil {
				return []Result[int]{{Err: errors.New("saw the caller's value")}}
			}
			return double(ctx, items)
		})
		if _, err := do(context.WithValue(t.Context(), key{}, 1), g, "", 1); err != nil {
			t.Error(err)
		}
	})

	t.Run("a million items from many callers get a result each", func(t *testing.T) {
		const callers, each = 64, 1_000_000 / 64
		var done atomic.Int64
		g := New(500, time.Minute, nil, double)
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := 0; i < each; i += 25 {
					items := make([]int, 25)
					for k := range items {
						items[k] = c*each + i + k
					}
					outs, err := do(t.Context(), g, "", items...)
					for k := range items {
						if err != nil || outs[k] != 2*items[k] {
							t.Errorf("item %d: %v", items[k], err)
							return
						}
					}
					done.Add(25)
				}
			})
		}
		wg.Wait()
		if done.Load() != callers*each {
			t.Errorf("%d results", done.Load())
		}
	})
}
