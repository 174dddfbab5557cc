package streams

import "syscall"

// childOf has the kernel kill a process when the thread that started it ends.
func childOf() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
