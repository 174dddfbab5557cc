package semantics

import (
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func TestMain(m *testing.M) { engines.Main(m) }
