package streams

import (
	"os"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func TestMain(m *testing.M) {
	if os.Getenv(nodeEnv) != "" {
		runNode()
		return
	}
	engines.Main(m)
}
