package observer

import (
	"flag"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func TestMain(m *testing.M) {
	flag.Set("rapid.checks", "15") // unless the command line says otherwise
	flag.Set("rapid.nofailfile", "true")
	engines.Main(m)
}
