package streams

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/redisadapter"
	"github.com/msgdelivery/delivery/sqlstore"
	"github.com/msgdelivery/delivery/sseadapter"
)

// nodeEnv is the environment variable with a node's config, as JSON.
const nodeEnv = "DELIVERY_STREAMS_NODE"

// config is what a node is told.
type config struct {
	Addr            string // to listen on
	Driver, DSN     string
	Redis           string // its address
	OwnBus          bool   // the node has a bus of its own, which reaches no other
	Members, Quorum int    // of every message
}

// quiet is the logger of go-redis: that Redis is away is what the test makes.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// runNode is what the test binary does instead of testing if it was started as a node. It ends by
// SIGTERM, or when its standard input does.
func runNode() {
	if err := node(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(2)
	}
}

func node() error {
	var c config
	if err := json.Unmarshal([]byte(os.Getenv(nodeEnv)), &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3) // nobody is left
	}()
	db, err := sql.Open(c.Driver, c.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(10)
	store, err := sqlstore.New(db, sqlstore.Postgres)
	if err != nil {
		return err
	}
	redis.SetLogger(quiet{})
	var bus delivery.Bus = redisadapter.NewBus(redis.NewClient(&redis.Options{Addr: c.Redis}), nil)
	if c.OwnBus {
		bus = new(delivery.LocalBus)
	}
	silent := slog.New(slog.DiscardHandler)
	everyone := delivery.Audience{}
	for i := range c.Members {
		everyone.Recipients = append(everyone.Recipients, fmt.Sprint("user", i))
	}
	everyone.Quorum = c.Quorum
	tracker, err := delivery.New(store, delivery.NotifierFunc(bus.Publish), &delivery.Options{
		Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return user != "", nil
		},
		Lease: 6 * time.Second, Logger: silent,
	})
	if err != nil {
		return err
	}
	signedIn := func(r *http.Request) (string, error) { return r.Header.Get("User"), nil }
	api, err := deliveryhttp.New(tracker, signedIn, &deliveryhttp.Options{
		Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) { return everyone, nil }, Logger: silent,
	})
	if err != nil {
		return err
	}
	streams, err := sseadapter.New(tracker, bus, signedIn, &sseadapter.Options{Logger: silent})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", api))
	mux.Handle("GET /events", streams)
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	var running sync.WaitGroup
	running.Go(func() { _ = tracker.Run(ctx) })
	running.Go(func() { _ = streams.Run(ctx) })
	running.Go(func() { _ = server.Serve(listener) })
	fmt.Println("listening")
	<-ctx.Done()
	server.Close()
	running.Wait()
	return nil
}

// process is a node that runs.
type process struct {
	config config
	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{}
}

// startNode starts a node, which is ended at the end of the test.
func startNode(t *testing.T, c config) *process {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Addr = listener.Addr().String()
	listener.Close()
	p := &process{config: c}
	p.start(t)
	t.Cleanup(p.kill)
	return p
}

// start starts the node, and waits until it listens.
func (p *process) start(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(p.config)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, done := exec.Command(self), make(chan struct{})
	cmd.Env = append(os.Environ(), nodeEnv+"="+string(text), "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = childOf()
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	says, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // whose end would be the node's
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-done
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(says)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "listening") {
		t.Fatalf("a node says %q", lines.Text())
	}
	go func() {
		defer close(done)
		_ = cmd.Wait() // it may have been killed
	}()
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
}

// kill ends the node at once.
func (p *process) kill() {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	_ = cmd.Process.Kill()
	<-done
}
