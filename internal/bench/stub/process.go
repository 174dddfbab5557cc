package stub

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// roleVariable makes a program that calls [Serve] first thing the stub's process.
const roleVariable = "DELIVERY_BENCH_STUB"

// Serve is the stub, if this process was started to be it: then it does not return. Programs that
// [Start] a stub call it first thing in main or TestMain, because it is their own executable that
// they start.
func Serve() {
	if os.Getenv(roleVariable) == "" {
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin) // ends with the process that started this one, however it ends
		os.Exit(0)
	}()
	s := new(server)
	fmt.Fprintln(os.Stderr, http.Serve(listener, s.handler()))
	os.Exit(1)
}

// Stub is a running stub, seen from the process that measures.
type Stub struct {
	addr  string
	stdin io.Closer
	cmd   *exec.Cmd
	http  http.Client
}

// Start starts a stub on loopback. The caller closes it.
func Start() (*Stub, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), roleVariable+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Stub{stdin: stdin, cmd: cmd}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the stub: %w", err), s.Close())
	}
	s.addr = strings.TrimSpace(line)
	return s, nil
}

// Close ends the stub.
func (s *Stub) Close() error {
	s.stdin.Close()
	return s.cmd.Wait()
}

// Addr is its host and port.
func (s *Stub) Addr() string { return s.addr }

// URL is how an app is told of it, in the form of PUSHER_URL.
func (s *Stub) URL() string { return "http://key:secret@" + s.addr + "/apps/1" }

// Reset forgets all counts. From now on, calls are answered after the delay.
func (s *Stub) Reset(ctx context.Context, delay time.Duration) error {
	return s.ask(ctx, "POST", "/reset?delay="+url.QueryEscape(delay.String()), nil)
}

// Counts returns what it has accepted.
func (s *Stub) Counts(ctx context.Context) (c Counts, err error) {
	return c, s.ask(ctx, "GET", "/counts", &c)
}

// Wait returns when the stub has accepted so many marks, with the time of that; or when ctx ends.
func (s *Stub) Wait(ctx context.Context, marks int) (time.Time, error) {
	var at int64
	err := s.ask(ctx, "GET", "/wait?marks="+strconv.Itoa(marks), &at)
	return time.Unix(0, at), err
}

func (s *Stub) ask(ctx context.Context, method, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+path, nil)
	if err != nil {
		return err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("stub: %s %s: %s", method, path, response.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
