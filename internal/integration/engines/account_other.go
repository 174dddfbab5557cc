//go:build !linux

package engines

import "syscall"

// Elsewhere than on Linux a server runs as we do, and only Main stops it.
func childOf(string, syscall.Signal) *syscall.SysProcAttr { return nil }

func giveAway(path, account string) error { return nil }
