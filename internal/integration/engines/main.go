package engines

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
)

// Main runs the tests, then removes the servers they shared. An interrupt removes all servers too.
func Main(m *testing.M) {
	called = true
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		signal.Stop(interrupted)
		removeAll()
		os.Exit(1)
	}()
	defer removeAll()
	defer dropTemplates()
	m.Run()
}

var called bool // Main

// servers holds every *Server that has something to remove.
var servers sync.Map

func removeAll() {
	for s := range servers.Range {
		if err := s.(*Server).remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}
