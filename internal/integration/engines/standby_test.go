package engines_test

import (
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func TestPair(t *testing.T) {
	for _, e := range engines.All {
		if e.Driver != "pgx" {
			continue
		}
		pair := e.Pair(t)
		db := pair.Database(t).Open(t)
		exec(t, db, "CREATE TABLE notes (id INTEGER PRIMARY KEY)")
		for i := range 2 {
			exec(t, db, "INSERT INTO notes VALUES ("+string(rune('1'+i))+")")
			told := false
			if err := pair.Promote(func() { told = true }); err != nil {
				t.Fatal(err)
			}
			db.SetMaxIdleConns(0)
			if got := count(t, db); got != i+1 || !told {
				t.Fatalf("after %d promotions there are %d notes, told: %t", i+1, got, told)
			}
			if got := count(t, pair.OpenStandby(t)); got != i+1 {
				t.Fatalf("the standby has %d notes", got)
			}
		}
	}
}
