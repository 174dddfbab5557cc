// Package observer tests that what a user keeps private stays private: alice looks at everything
// that bob's marks could show in, and must not be able to tell them from what they are to look
// like. Marks with HideAll are to look like nothing. Marks with HideRead are to look like marks as
// delivered at the same moments. So are the marks of a recipient who is untracked or hides reads,
// as the messages said when they were sent.
//
// The first half compares everything but time. Random sequences of calls by several users run
// twice, once with bob's hidden marks and once with what they are to look like. All answers that
// others get, all pages that they can read, and all events that a Notifier gets must be the same in
// both, byte for byte, once ids have lost their prefix and times are replaced by their order.
//
// The second half compares the time that alice's own calls take while bob marks, on Postgres and
// MariaDB. The file time_test.go describes its statistics and its rate of false alarms.
//
// Both halves run over stores that are broken in various ways too, and have to notice each.
//
//	go test ./internal/integration/observer                                       # a small number of sequences
//	go test ./internal/integration/observer -run Exact -rapid.checks 1000         # more
//	go test ./internal/integration/observer -run Exact/sqlite -rapid.seed 4711    # one again
package observer
