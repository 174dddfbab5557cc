//go:build !linux

package streams

import "syscall"

// Elsewhere than on Linux, a node ends when its standard input does.
func childOf() *syscall.SysProcAttr { return nil }
