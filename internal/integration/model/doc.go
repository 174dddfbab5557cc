// Package model tests stores and the tracker over them against models that are too simple to be
// wrong.
//
// The first model is a state machine. The library, on every store, and a reference of a few lines
// run random sequences of sends, marks, failures, transactions, reads, replays, discards, and
// flushes to an endpoint that refuses and fails. Whatever the library answers, and whatever it
// tells the notifier, has to be what the reference says.
//
// The second model is for groups of many members, some of whom hide what they do. Members join,
// leave, mark one message or all up to one, in any order and repeatedly, dismiss, mark as unread,
// delete, compact, fail to be reached, and are erased. Answers, counts, badges, lists, events and
// what a client that catches up holds have to be what the reference says, during the run and at its
// end.
//
// The third is for concurrency: workers mark and read the same receipts through two trackers, with
// contexts that end at any moment. The history of each receipt must be linearizable: there must be
// an order of its calls, compatible with when they began and ended, in which each call is answered
// as if it had been alone.
//
// All must be able to fail: they are run over stores that are broken in various ways, and have to
// notice each.
//
//	go test ./internal/integration/model                                         # a small number of each
//	go test ./internal/integration/model -full -timeout 2h                       # 10,000 histories and 100,000 calls on every store
//	go test ./internal/integration/model -run Machine -rapid.checks 1000         # more sequences
//	go test ./internal/integration/model -run Machine/sqlite -rapid.seed 4711    # one again
package model
