// Package semantics writes docs/semantics.md, which says what each operation does, whoever makes
// it, and tests that every store does so.
//
// Each cell comes from a real run: a conversation is made, one call is made in it, and what the
// actor and the others see before and after is compared. The page is what memstore does. Every
// engine has to give the same page. After a change run
//
//	go test ./internal/integration/semantics -update
//
// A new operation is an entry in operations, and a new kind of user one in cast.
package semantics
