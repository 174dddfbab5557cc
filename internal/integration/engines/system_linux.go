package engines

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// childOf makes a program run as the named account if we are root, since servers refuse to run as
// root or should not; and has the kernel send it a signal when we die, so that no death of ours
// leaves it behind.
func childOf(account string, signal syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: signal}
	if os.Geteuid() == 0 {
		uid, gid := ids(account)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return attr
}

// giveAway makes the named account the owner of a file if we are root.
func giveAway(path, account string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid := ids(account)
	return os.Chown(path, uid, gid)
}

// ids returns the user and group of the named account, those of nobody if there is no such account.
func ids(account string) (uid, gid int) {
	for _, name := range []string{account, "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ = strconv.Atoi(u.Uid)
			gid, _ = strconv.Atoi(u.Gid)
			return uid, gid
		}
	}
	return 65534, 65534 // what nobody is on Linux
}

// killFamily kills a process and its children and waits for the end of the children: those of
// Postgres go on for a moment when they have lost their parent.
func killFamily(parent *os.Process) {
	parent.Signal(syscall.SIGSTOP) // no more children
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", parent.Pid))
	parent.Kill()
	for _, field := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(field)
		for syscall.Kill(pid, syscall.SIGKILL) == nil {
			time.Sleep(time.Millisecond)
		}
	}
}
