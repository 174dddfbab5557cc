//go:build !linux

package browser

import "syscall"

// childOf does nothing: tests that are cut short leave processes behind.
func childOf() *syscall.SysProcAttr { return nil }
