//go:build !linux

package engines

import (
	"os"
	"syscall"
)

// Elsewhere than on Linux a server runs as we do, only Main stops it, and a kill leaves its
// children to notice by themselves.
func childOf(string, syscall.Signal) *syscall.SysProcAttr { return nil }

func giveAway(string, string) error { return nil }

func killFamily(parent *os.Process) { parent.Kill() }
