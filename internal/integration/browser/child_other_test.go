//go:build !linux

package browser

import (
	"os/exec"
	"syscall"
	"testing"
)

// childOf does nothing: tests that are cut short leave processes behind.
func childOf() *syscall.SysProcAttr { return nil }

// unprivileged has a command run as the user of the tests.
func unprivileged(_ *testing.T, command *exec.Cmd, _ string) *exec.Cmd { return command }
