package browser

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// childOf has the kernel kill a process when the thread that started it ends.
func childOf() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// unprivileged has a command run as a user without rights, who owns a directory. It runs as the
// user of the tests, unless that is root.
func unprivileged(t *testing.T, command *exec.Cmd, dir string) *exec.Cmd {
	t.Helper()
	command.SysProcAttr = childOf()
	if os.Geteuid() != 0 {
		return command
	}
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	command.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	return command
}
