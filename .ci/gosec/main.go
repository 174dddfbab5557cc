// Command gosec runs gosec's rules. The project's own command also brings what suggests mends, by
// the SDKs of three services, which takes longer to build than everything else that is checked.
package main

import (
	"github.com/securego/gosec/v2/goanalysis"
	"golang.org/x/tools/go/analysis/singlechecker"
)

func main() { singlechecker.Main(goanalysis.Analyzer) }
