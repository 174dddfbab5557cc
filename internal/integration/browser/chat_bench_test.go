package browser

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// BenchmarkChat measures how long the chat takes from its start to its address, with an empty
// database, and on Linux how much memory it has resident when it has been idle for two seconds.
//
//	go test -run '^$' -bench Chat -benchtime 10x ./internal/integration/browser
func BenchmarkChat(b *testing.B) {
	build(b, "chat")
	var starts time.Duration
	var resident float64
	for b.Loop() {
		began := time.Now()
		chat := runExample(b, "chat")
		starts += time.Since(began)
		time.Sleep(2 * time.Second)
		resident += residentMB(b, chat.process.Process.Pid)
		chat.kill()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(starts.Milliseconds())/float64(b.N), "ms/start")
	b.ReportMetric(resident/float64(b.N), "MB-resident")
}

var vmRSS = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// residentMB returns a process's resident memory, 0 where there is no /proc.
func residentMB(b *testing.B, pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	found := vmRSS.FindSubmatch(text)
	if found == nil {
		b.Fatalf("no VmRSS in %s", text)
	}
	kB, err := strconv.Atoi(string(found[1]))
	if err != nil {
		b.Fatal(err)
	}
	return float64(kB) / 1024
}
