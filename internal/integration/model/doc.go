// Package model tests stores and the tracker over them against models that are too simple to be
// wrong.
//
// One is a state machine: random sequences of sends, marks, transactions, reads, flushes to an
// endpoint that refuses and fails, replays and discards are run by the library, on every store, and
// by a reference of a few lines. Whatever the library answers, and whatever it tells the notifier,
// has to be what the reference says.
//
// The other is for concurrency: workers mark and read the same receipts through two trackers, with
// contexts that end at any moment. The history of each receipt must be linearizable: there must be
// an order of its calls, compatible with when they began and ended, in which each call is answered
// as if it had been alone.
//
// Both must be able to fail: they are run over stores that are broken in various ways, and have to
// notice each.
//
//	go test ./internal/integration/model                                         # a small number of each
//	go test ./internal/integration/model -full -timeout 2h                       # 10,000 histories on every store
//	go test ./internal/integration/model -run Machine -rapid.checks 1000         # more sequences
//	go test ./internal/integration/model -run Machine/sqlite -rapid.seed 4711    # one again
package model
