// Package typescript tests what TypeScript programs get from the description of deliveryhttp's
// routes: types that openapi-typescript generates from it, by which right calls compile, and run,
// and wrong ones do not compile.
//
//	npm ci --prefix internal/integration/js
//	go test ./internal/integration/typescript
package typescript
