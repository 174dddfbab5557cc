//go:build race

package chaos

const timed = false
