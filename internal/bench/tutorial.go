package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/bench/report"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

const (
	tutorialName = "Tutorial/connections=16"

	tutorialConns    = 16
	tutorialPatience = 30 * time.Second
)

// tutorialUsers may sign in and mark what alice sent.
var tutorialUsers = []string{"bob", "carol"}

// tutorial measures marks over HTTP through examples/tutorial, a process of its own, on Postgres.
func (b *bench) tutorial() experiment {
	var program string
	return experiment{
		name: "tutorial",
		prepare: func(ctx context.Context) (err error) {
			program, err = b.buildTutorial(ctx)
			return err
		},
		round: func(ctx context.Context, round int) error { return b.runTutorial(ctx, program) },
	}
}

// buildTutorial builds the example from the checkout that this program was built from.
func (b *bench) buildTutorial(ctx context.Context) (program string, err error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/msgdelivery/delivery").Output()
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	dir, err := b.lab.Dir()
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, "tutorial")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./tutorial")
	build.Dir = filepath.Join(string(bytes.TrimSpace(root)), "examples")
	build.Stderr = os.Stderr
	return program, build.Run()
}

func (b *bench) runTutorial(ctx context.Context, program string) (err error) {
	db, err := b.lab.Database(ctx, engines.Postgres)
	if err != nil {
		return err
	}
	if err := b.lab.Stub.Reset(ctx, 0); err != nil {
		return err
	}
	addr, stop, err := startTutorial(program, db, b.lab.Stub.URL())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	messages := b.requests/len(tutorialUsers) + 1
	e := peer.Env{Database: db, Fixture: peer.Fixture{Messages: messages, Conversations: 1, Recent: messages}}
	if err := peer.Fill(ctx, e); err != nil {
		return err
	}
	var requests [][]byte
	for u, user := range tutorialUsers {
		cookie, err := signIn(ctx, addr, user)
		if err != nil {
			return err
		}
		for n := range messages {
			requests = append(requests, fmt.Appendf(nil, "POST /conversations/%s/delivered HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n"+
				"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 15\r\n\r\nsocket_id=1.%03d", peer.ID(n), addr, cookie, u+1))
		}
	}
	return b.requestAll(ctx, db, addr, requests)
}

// requestAll sends prepared requests over a few connections: the least a load generator can do on
// the machine that it loads.
func (b *bench) requestAll(ctx context.Context, db lab.Database, addr string, requests [][]byte) error {
	idle := make(chan *connection, tutorialConns)
	for range tutorialConns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		idle <- &connection{conn, bufio.NewReader(conn)}
	}
	before := db.CPU()
	var next atomic.Int64
	done, err := load.Run(ctx, tutorialConns, load.Limit{Calls: min(len(requests), b.requests), For: tutorialPatience}, &next, func(_ context.Context, i int) error {
		c := <-idle
		defer func() { idle <- c }()
		return c.ask(requests[i])
	})
	if err != nil {
		return err
	}
	cpu := db.CPU().Sub(before)
	b.await(ctx, done.Calls, tutorialPatience)
	counts, err := b.lab.Stub.Counts(ctx)
	b.log.Add(tutorialName,
		report.Value{Unit: unitMarks, Number: done.Rate()},
		report.Value{Unit: unitP50, Number: done.Quantile(0.5).Seconds()},
		report.Value{Unit: unitP99, Number: done.Quantile(0.99).Seconds()},
		report.Value{Unit: unitAccepted, Number: float64(counts.Marks) / time.Unix(0, counts.Last).Sub(done.Start).Seconds()},
		report.Value{Unit: unitServer, Number: cpu.Server.Seconds() / float64(done.Calls)},
		report.Value{Unit: unitClient, Number: cpu.Client.Seconds() / float64(done.Calls)}, // the load generator's
	)
	return err
}

// connection is one that is kept alive.
type connection struct {
	net.Conn
	answers *bufio.Reader
}

func (c *connection) ask(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || string(text) != "ok") {
		err = fmt.Errorf("a mark was answered with %s: %.50s", answer.Status, text)
	}
	return err
}

// startTutorial starts the program, with a database that it fills with its tables.
func startTutorial(program string, db lab.Database, pusher string) (addr string, stop func() error, err error) {
	cmd := exec.Command(program, "-addr", "127.0.0.1:0", "-db", db.DSN, "-pusher", pusher)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", nil, err
	}
	stop = func() error {
		cmd.Process.Signal(syscall.SIGTERM)
		go io.Copy(io.Discard, out)
		return cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	found := regexp.MustCompile(`http://(\S+)`).FindStringSubmatch(line)
	if found == nil {
		return "", nil, errors.Join(fmt.Errorf("the tutorial did not say where it listens: %w", err), stop())
	}
	return found[1], stop, nil
}

// signIn returns a cookie of the user's session.
func signIn(ctx context.Context, addr, user string) (cookie string, err error) {
	form := url.Values{"username": {user}, "password": {"password"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/login/", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultTransport.RoundTrip(request) // which follows no redirect
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	for _, c := range response.Cookies() {
		return c.Name + "=" + c.Value, nil
	}
	return "", fmt.Errorf("signing in as %s was answered with %s and no cookie", user, response.Status)
}
