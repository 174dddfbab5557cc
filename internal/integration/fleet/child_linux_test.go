package fleet

import "syscall"

// childOf has the script end when the thread that started it does.
func childOf() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
