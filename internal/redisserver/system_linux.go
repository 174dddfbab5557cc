package redisserver

import "syscall"

// diesWithParent has the kernel kill a child when we die.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
