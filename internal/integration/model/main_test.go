package model

import (
	"flag"
	"strconv"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

var full = flag.Bool("full", false, "check 10,000 histories, and a crowd of 1,000 in 100,000 calls, on every store")

func TestMain(m *testing.M) {
	flag.Set("rapid.checks", "15") // unless the command line says otherwise
	engines.Main(m)
}

// set gives a flag another value for the rest of the test.
func set(t *testing.T, name, value string) {
	t.Helper()
	f := flag.Lookup(name)
	before := f.Value.String()
	if err := f.Value.Set(value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Value.Set(before) })
}

// multiply does the same to a number.
func multiply(t *testing.T, name string, factor int) {
	t.Helper()
	n, err := strconv.Atoi(flag.Lookup(name).Value.String())
	if err != nil {
		t.Fatal(err)
	}
	set(t, name, strconv.Itoa(n*factor))
}
