//go:build !race

package deliverytest

import (
	"database/sql"
	"slices"
	"strings"
	"testing"
)

func TestBrokenTxStoresFailByName(t *testing.T) {
	const backwards, upTo, table, dead, race = "a receipt never goes backwards", "an up-to mark reaches", "each call, and each pair", "after an error", "whatever transactions race after"
	const waits = "it lets in one writer at a time, and does not say so"
	const aMark, aSend, anUpTo = "a mark in a conversation that", "a send to a conversation that", "an up-to mark in a conversation that"
	for _, b := range []struct {
		name      string
		snapshots bool
		flaws     flaws
		rules     []string
	}{
		{"it writes outside of the transaction", false, flaws{leaks: true}, []string{"after a rollback", "nobody sees a change"}},
		{"it puts events under leases", false, flaws{leases: true}, []string{"after a commit"}},
		{"it reads outside of the transaction", false, flaws{blind: true}, []string{"reads inside"}},
		{"it lets transactions run side by side", false, flaws{crowded: true}, []string{"transactions on one conversation", "whatever transactions race, committed"}},
		{"it forgets the events at the commit", false, flaws{mute: true}, []string{"after a commit", "nobody sees a change", "whatever transactions race, committed"}},
		{"it answers by the snapshot", true, flaws{stale: true}, []string{backwards, upTo, table, race}},
		{"it takes the version that the transaction itself wrote for proof that nobody else changed the conversation", true, flaws{ownVersion: true}, []string{backwards, table}},
		{"it moves a reader's place past what the snapshot could not see", true, flaws{passesOver: true}, []string{upTo, table, race}},
		{"it goes on after an error", true, flaws{deaf: true}, []string{dead}},
		{"it blocks what is beside a transaction", false, flaws{blocksAll: true}, []string{aMark, aSend, anUpTo}},
		{"it writes what it says was blocked", false, flaws{writesOn: true}, []string{aMark, aSend, anUpTo}},
		{"it blocks marks inside transactions", false, flaws{blocksInside: true}, []string{"after a commit", "transactions on one conversation", "whatever transactions race, committed"}},
		{"it forgets at the commit what a user alone knows", false, flaws{forgetsOwn: true}, []string{"after a commit", "nobody sees a change"}},
		{"it writes what a user alone knows outside of the transaction", false, flaws{leaksOwn: true}, []string{"after a rollback", "nobody sees a change", "reads inside"}},
		{"it deletes outside of the transaction", false, flaws{leaksDeletes: true}, []string{"after a rollback", "nobody sees a change"}},
		{waits, false, flaws{}, []string{"a change that a user alone may know"}},
		{"its conflicts are plain errors", true, flaws{nameless: true}, []string{backwards, upTo, table, race}},
	} {
		t.Run(b.name, func(t *testing.T) {
			for _, rule := range b.rules {
				cases := slices.Concat(txCases, blockedCases, besideCases, isolationCases)
				i := slices.IndexFunc(cases, func(c txCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				store, db := newTurns(t, b.snapshots, b.flaws)
				try(t, func(tb testing.TB) {
					cases[i].run(tb, store, db, sql.LevelDefault, &TxOptions{OneWriter: b.name != waits})
				}).mustFail(t, cases[i].rule)
			}
		})
	}
}
