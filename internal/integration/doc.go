// Package integration has the tests that need real databases, browsers or other people's libraries.
// They are in folders, one for each question:
//
//   - contract: does a store keep the contract, with every driver, version and pooler?
//   - contention: is it exact while others write and lock the same?
//   - broken: what does it say and do while connections, sessions, servers and clocks fail?
//   - settings: which settings, rights and leftovers of a database does it refuse, and with which
//     words?
//   - plans: do statements read no more in a long conversation than in a short one?
//   - speed: benchmarks of a Tracker over each store
//   - model: do stores and trackers do what a model of them does, whatever the order of calls?
//   - semantics: what does each operation do, whoever makes it? It writes docs/semantics.md.
//   - observer: can others tell what a user hides, by all that they see and by the time it takes?
//   - chaos: is nothing lost while processes, servers and networks are killed?
//   - security: what do forbidden and hostile calls get?
//   - streams: does every client's view become the store's, over server-sent events of several
//     processes?
//   - client: does the JavaScript of package deliveryjs keep its promises, without a page?
//   - typescript: do clients compile that are made from the description of the HTTP routes?
//   - watchers, browser: does a client that misses events catch up, as a program and as a page?
//   - fleet: do three processes behind nginx do what one does, while one of them is killed?
//   - orm, routers: does the library work with the transactions and handlers of other libraries?
//
// The rest helps them: engines starts databases, stores puts a store on one, cutter breaks its
// connections, need says what becomes of a test that lacks a program, bundle makes
// the modules that browsers get, and report prints the outcome.
package integration
