package engines

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strconv"
	"syscall"
)

var postgres = product{
	name:     "a PostgreSQL server",
	programs: []string{"initdb", "postgres"},
	pkg:      "postgresql",
	env:      "DELIVERY_TEST_POSTGRES",
	account:  "postgres",

	files: func(s *Server) map[string]string { return map[string]string{"secret": s.password} },
	setup: func(s *Server) *exec.Cmd {
		initdb := exec.Command(s.programs["initdb"], "--pgdata", s.path("data"), "--no-sync",
			"--username", "delivery", "--pwfile", s.path("secret"), "--auth", "scram-sha-256",
			"--encoding", "UTF8", "--locale", "C")
		if help, _ := exec.Command(initdb.Path, "--help").Output(); bytes.Contains(help, []byte("--icu-locale")) {
			// Text sorts by the rules of a language, so that a query which needs the order of bytes
			// has to say so.
			initdb.Args = append(initdb.Args, "--locale-provider", "icu", "--icu-locale", "und")
		}
		return initdb
	},
	command: func(s *Server) *exec.Cmd {
		return exec.Command(s.programs["postgres"], "-D", s.path("data"),
			"-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+s.dir,
			"-c", "dynamic_shared_memory_type=mmap", // in its directory, so that a kill leaves none behind
			"-c", "max_connections=300",
			"-c", "timezone=Asia/Kathmandu") // so that a query which needs UTC has to say so
	},

	polite: syscall.SIGINT,
	abort:  syscall.SIGQUIT,

	driver: "pgx",
	admin: func(s *Server) string {
		return (&url.URL{
			Scheme:   "postgres",
			User:     url.UserPassword("delivery", s.password),
			Host:     fmt.Sprintf("127.0.0.1:%d", s.port),
			Path:     "/postgres",
			RawQuery: "sslmode=disable",
		}).String()
	},
	dsn: func(admin, database string) (string, error) {
		u, err := url.Parse(admin)
		if err != nil || u.Scheme == "" {
			return "", errors.New("not a postgres:// URL") // nothing of it, it may hold a password
		}
		u.Path = "/" + database
		return u.String(), nil
	},
	drop: "DROP DATABASE %s WITH (FORCE)",

	unsynced: []string{"-c", "fsync=off"},
}
