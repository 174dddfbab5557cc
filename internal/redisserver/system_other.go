//go:build !linux

package redisserver

import "syscall"

// Elsewhere than on Linux only the end of the test stops a server.
func diesWithParent() *syscall.SysProcAttr { return nil }
