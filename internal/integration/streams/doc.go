// Package streams tests server-sent events over several processes: three nodes, each a process of
// its own with a relay and streams, over one Postgres and one Redis. Clients lose their
// connections, a node is killed, and Redis is restarted. In the end every client's view is the
// store's, and no tick has gone back.
package streams
