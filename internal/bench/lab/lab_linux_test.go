package lab

import (
	"os"
	"testing"
	"time"
)

func TestCPUOfThisProcessGrowsWithWork(t *testing.T) {
	before := Database{}.CPU()
	for deadline := time.Now().Add(50 * time.Millisecond); time.Now().Before(deadline); {
	}
	if used := (Database{}).CPU().Sub(before); used.Client <= 0 || used.Server != 0 {
		t.Errorf("used %+v, want some of the client's and none of a server's", used)
	}
}

func TestAProcessIsReadWhateverItsName(t *testing.T) {
	if p, ok := read("self"); !ok || p.name == "" {
		t.Errorf("read %+v, %v", p, ok)
	}
	if _, ok := read("no such process"); ok {
		t.Error("read a process that does not exist")
	}
}

func TestWhatStopsAnEngineIsAnError(t *testing.T) {
	var l asTest
	if err := l.do(func() { l.Fatalf("no %s", "server") }); err == nil || err.Error() != "no server" {
		t.Errorf("got %v", err)
	}
	dir := l.TempDir()
	l.end()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
}
