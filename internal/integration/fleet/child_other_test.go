//go:build !linux

package fleet

import "syscall"

// childOf does nothing: a test that is cut short leaves the script behind.
func childOf() *syscall.SysProcAttr { return nil }
