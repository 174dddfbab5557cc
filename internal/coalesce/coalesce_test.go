package coalesce

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func double(_ context.Context, _ string, items []int) ([]int, error) {
	outs := make([]int, len(items))
	for i, n := range items {
		outs[i] = 2 * n
	}
	return outs, nil
}

func TestGroup(t *testing.T) {
	t.Run("a call alone goes out at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(10, time.Minute, nil, double)
			began := time.Now()
			outs, err := g.Do(t.Context(), "", 1, 2)
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
			g := New(3, time.Minute, nil, func(ctx context.Context, lane string, items []int) ([]int, error) {
				batches = append(batches, slices.Clone(items))
				time.Sleep(time.Second)
				return double(ctx, lane, items)
			})
			var wg sync.WaitGroup
			for n := range 6 {
				wg.Go(func() {
					time.Sleep(time.Duration(n) * time.Millisecond)
					outs, err := g.Do(t.Context(), "", n)
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
			g := New(10, time.Minute, weight, func(ctx context.Context, lane string, items []int) ([]int, error) {
				batches = append(batches, slices.Clone(items))
				time.Sleep(time.Second)
				return double(ctx, lane, items)
			})
			var wg sync.WaitGroup
			for i, n := range []int{1, 4, 6, 1, 30, 2} {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond)
					if _, err := g.Do(t.Context(), "", n); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if got := fmt.Sprint(batches); got != "[[1] [4 6] [1] [30] [2]]" {
				t.Errorf("batches %s", got)
			}
		})
	})

	t.Run("callers who come again at once share the next batch", func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // goroutines take turns
		const callers, calls = 8, 100
		batches := 0
		g := New(callers, time.Minute, nil, func(ctx context.Context, lane string, items []int) ([]int, error) {
			batches++
			runtime.Gosched() // a while
			return double(ctx, lane, items)
		})
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for n := range calls {
					if _, err := g.Do(t.Context(), "", n); err != nil {
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

	t.Run("one call's items stay together, even over the maximum", func(t *testing.T) {
		g := New(2, time.Minute, nil, double)
		outs, err := g.Do(t.Context(), "", 1, 2, 3)
		if err != nil || len(outs) != 3 {
			t.Errorf("got %v, %v", outs, err)
		}
	})

	t.Run("lanes don't wait for each other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(10, time.Hour, nil, func(ctx context.Context, lane string, items []int) ([]int, error) {
				if lane == "slow" {
					time.Sleep(time.Minute)
				}
				return double(ctx, lane, items)
			})
			var wg sync.WaitGroup
			wg.Go(func() { g.Do(t.Context(), "slow", 1) })
			synctest.Wait()
			began := time.Now()
			if _, err := g.Do(t.Context(), "quick", 1); err != nil || time.Since(began) != 0 {
				t.Errorf("waited %v, %v", time.Since(began), err)
			}
			wg.Wait()
		})
	})

	t.Run("a caller who leaves before the flight takes its items back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var seen []int
			g := New(10, time.Minute, nil, func(ctx context.Context, lane string, items []int) ([]int, error) {
				seen = append(seen, items...)
				time.Sleep(time.Second)
				return double(ctx, lane, items)
			})
			var wg sync.WaitGroup
			wg.Go(func() { g.Do(t.Context(), "", 1) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := g.Do(ctx, "", 2)
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
			g := New(10, time.Minute, nil, func(ctx context.Context, lane string, items []int) ([]int, error) {
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(time.Second):
				}
				return double(ctx, lane, items)
			})
			var wg sync.WaitGroup
			wg.Go(func() { g.Do(t.Context(), "", 0) })
			synctest.Wait()
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				if _, err := g.Do(ctx, "", 1); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("who left: %v", err)
				}
			})
			wg.Go(func() {
				if outs, err := g.Do(t.Context(), "", 2); err != nil || outs[0] != 4 {
					t.Errorf("who stayed: %v, %v", outs, err)
				}
			})
			wg.Wait()
		})
	})

	t.Run("pending is what has come and is not done, without what was taken back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(10, time.Minute, func(n int) int { return n }, func(ctx context.Context, lane string, items []int) ([]int, error) {
				time.Sleep(time.Second)
				if items[0] == 5 {
					return nil, errors.New("bad luck")
				}
				return double(ctx, lane, items)
			})
			var wg sync.WaitGroup
			expect := func(want int, lanes ...string) {
				t.Helper()
				synctest.Wait()
				if got := g.Pending(lanes); got != want {
					t.Errorf("%d pending in %v, want %d", got, lanes, want)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			expect(0, "a", "b")
			wg.Go(func() { g.Do(t.Context(), "a", 3) })
			expect(3, "a", "b")
			wg.Go(func() { g.Do(t.Context(), "a", 5) })
			expect(8, "a", "b")
			wg.Go(func() { g.Do(t.Context(), "b", 2, 2) })
			expect(12, "a", "b")
			expect(4, "b")
			wg.Go(func() { g.Do(ctx, "a", 7) })
			expect(19, "a", "b")
			cancel()
			expect(12, "a", "b")
			time.Sleep(time.Second)
			expect(5, "a", "b")
			time.Sleep(time.Second)
			expect(0, "a", "b")
			wg.Wait()
		})
	})

	t.Run("whatever the function does, everyone gets an answer", func(t *testing.T) {
		for name, do := range map[string]Func[int, int]{
			"an error":     func(context.Context, string, []int) ([]int, error) { return nil, errors.New("bad luck") },
			"panic: oh no": func(context.Context, string, []int) ([]int, error) { panic("oh no") },
			"goroutine was ended": func(context.Context, string, []int) ([]int, error) {
				runtime.Goexit()
				return nil, nil
			},
			"2 results for 1 items": func(context.Context, string, []int) ([]int, error) {
				return []int{1, 2}, nil
			},
			"context deadline exceeded": func(ctx context.Context, _ string, _ []int) ([]int, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				g := New(10, time.Minute, nil, do)
				want := strings.Replace(name, "an error", "bad luck", 1)
				if _, err := g.Do(t.Context(), "", 1); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v", name, err)
				}
				synctest.Wait()
				if len(g.lanes) != 0 {
					t.Errorf("%s: the lane is still there", name)
				}
			})
		}
	})

	t.Run("nothing of a caller's context reaches the function", func(t *testing.T) {
		type key struct{}
		g := New(10, time.Minute, nil, func(ctx context.Context, lane string, items []int) ([]int, error) {
			if ctx.Value(key{}) != nil {
				return nil, errors.New("saw the caller's value")
			}
			return double(ctx, lane, items)
		})
		if _, err := g.Do(context.WithValue(t.Context(), key{}, 1), "", 1); err != nil {
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
					outs, err := g.Do(t.Context(), "", items...)
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
