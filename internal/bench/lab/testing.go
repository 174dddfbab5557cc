package lab

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// asTest is enough of a test for package engines, which gives databases to tests only.
type asTest struct {
	testing.TB // nil: whatever is not defined below is not called
	cleanups   []func()
}

// stopped is the panic by which a test's Fatal and Skip leave.
type stopped struct{ error }

func (t *asTest) Helper()                           {}
func (t *asTest) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *asTest) Error(args ...any)                 { fmt.Fprintln(os.Stderr, args...) }
func (t *asTest) Fatal(args ...any)                 { panic(stopped{fmt.Errorf("%s", fmt.Sprint(args...))}) }
func (t *asTest) Fatalf(format string, args ...any) { panic(stopped{fmt.Errorf(format, args...)}) }
func (t *asTest) Skip(args ...any)                  { t.Fatal(args...) }

func (t *asTest) TempDir() string {
	dir, err := os.MkdirTemp("", "delivery-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// do runs f and returns why it stopped, if it did.
func (t *asTest) do(f func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case stopped:
			err = p.error
		default:
			panic(p)
		}
	}()
	f()
	return nil
}

// end runs the cleanups, the last first.
func (t *asTest) end() {
	for _, f := range slices.Backward(t.cleanups) {
		if err := t.do(f); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	t.cleanups = nil
}
