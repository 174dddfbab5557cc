package demo

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

func TestServeHangsUpOnReadersThatReadNothing(t *testing.T) {
	written := make(chan error, 1)
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(bytes.Repeat([]byte("x"), 64<<20)) // more than the kernel takes off the server's hands
		written <- err
	}))
	for name, limit := range map[string]time.Duration{
		"header": server.ReadHeaderTimeout, "request": server.ReadTimeout, "answer": server.WriteTimeout, "idle connection": server.IdleTimeout,
	} {
		if limit <= 0 || limit > time.Minute {
			t.Errorf("the limit of a %s is %v", name, limit)
		}
	}
	server.WriteTimeout = 100 * time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	defer server.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-written; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the answer that nobody read ended with %v", err)
	}
}
