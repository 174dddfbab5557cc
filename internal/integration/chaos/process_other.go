//go:build !linux

package chaos

import "syscall"

// childOf does nothing: a node notices by its standard input that it is alone.
func childOf() *syscall.SysProcAttr { return nil }
