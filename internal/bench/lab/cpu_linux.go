package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// CPU returns what this process and the database's server have used so far.
func (d Database) CPU() CPU {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return CPU{}
	}
	c := CPU{Client: time.Duration(self.Utime.Nano() + self.Stime.Nano())}
	program := map[engines.Kind]string{engines.Postgres: "postgres", engines.MySQL: "mariadbd"}[d.Kind]
	for _, server := range children(os.Getpid()) {
		if server.name != program {
			continue
		}
		c.Server += server.used + server.buried
		for _, backend := range children(server.pid) {
			c.Server += backend.used
		}
	}
	return c
}

// process is a running process.
type process struct {
	pid    int
	name   string
	used   time.Duration // by itself
	buried time.Duration // by its children that have ended
}

const tick = time.Second / 100 // in which Linux tells of CPU time

// children returns the processes that a process started and that run still.
func children(pid int) (all []process) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(text)) {
			if child, ok := read(field); ok {
				all = append(all, child)
			}
		}
	}
	return all
}

// read returns a process as /proc tells of it: "1234 (name) S …", in numbered fields.
func read(pid string) (p process, ok bool) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if err != nil || open < 0 || end < open {
		return p, false
	}
	p.name = string(text[open+1 : end])
	fields := slices.Concat([]string{"", "", ""}, strings.Fields(string(text[end+1:])))
	ticks := func(i int) time.Duration {
		n, _ := strconv.Atoi(fields[i])
		return time.Duration(n) * tick
	}
	const utime, stime, cutime, cstime = 14, 15, 16, 17
	if len(fields) <= cstime {
		return p, false
	}
	p.pid, _ = strconv.Atoi(pid)
	p.used, p.buried = ticks(utime)+ticks(stime), ticks(cutime)+ticks(cstime)
	return p, true
}
