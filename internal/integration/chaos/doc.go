// Package chaos tests the promise of package delivery under kills, restarts and failures: nothing
// lost, nothing unexpected, nothing backwards, and no more duplicates than can be explained.
//
// A run works on one database. Nodes, which are this test binary started again as processes of
// their own, mark messages and publish what changed, through pusheradapter, to a sink that speaks
// Pusher's HTTP API. Meanwhile a scenario does harm: it kills nodes or the database, cuts
// connections, has the sink fail. Every node writes down what it is about to ask for and what was
// acknowledged, each with one write; the sink writes down what it accepted; triggers in the
// database write down receipts that did not move forward. When all is quiet again, the checker
// reads these logs and the tables, and nothing else, and says what was lost, unexpected, backwards
// and duplicate. From the receipts it counts again what the store keeps count of.
//
//	go test ./internal/integration/chaos                           # every scenario at a small size
//	go test ./internal/integration/chaos -full -timeout 6h         # at full size
//	go test ./internal/integration/chaos -run /M10/sqlite -v       # one of them, with its figures
//	go test ./internal/integration/chaos -run Recheck -recheck DIR # checks the logs of a failed run again
//
// With the race detector a scenario runs on one engine only, and limits of time, such as how soon
// marks flow again, do not hold: on a machine that runs many tests at once they say nothing. So the
// scenarios that are there for such limits do not run.
//
// A failed run keeps its directory and prints the name. A seed, printed too and given again by
// -seed, brings back the same choices but not the same timing.
package chaos
