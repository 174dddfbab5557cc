package engines

import (
	"fmt"
	"net/url"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// Pooler is a connection pooler in front of a Postgres server, private and throwaway like a
// [Server].
type Pooler struct{ server *Server }

// Pgbouncer starts pgbouncer in transaction mode in front of the shared Postgres server. It is
// removed at the end of the test.
func Pgbouncer(t testing.TB) *Pooler {
	t.Helper()
	admin, err := url.Parse(share(t, Postgres).dsn)
	if err != nil {
		t.Fatalf("%s is not a URL", postgres.env) // nothing of it, it may hold a password
	}
	return startPooler(t, pgbouncer(admin))
}

func startPooler(t testing.TB, p *product) *Pooler {
	t.Helper()
	programs := p.find()
	if programs == nil {
		need.Missing(t, p.name, "apt-get install "+p.pkg)
	}
	return &Pooler{Engine{}.server(t, p, programs)}
}

// Front returns a database as it is seen through the pooler, by the driver and with the settings
// that are given as parameters of the DSN.
func (p *Pooler) Front(t testing.TB, d Database, driver string, settings url.Values) Database {
	t.Helper()
	dsn, err := url.Parse(d.DSN)
	if err != nil {
		t.Fatalf("the DSN of %s is not a URL", d.Name)
	}
	query := dsn.Query()
	for key := range settings {
		query.Set(key, settings.Get(key))
	}
	dsn.Host, dsn.RawQuery = fmt.Sprintf("127.0.0.1:%d", p.server.port), query.Encode()
	d.Driver, d.DSN = driver, dsn.String()
	return d
}

func pgbouncer(upstream *url.URL) *product {
	password, _ := upstream.User.Password()
	return &product{
		name:     "pgbouncer",
		programs: []string{"pgbouncer"},
		pkg:      "pgbouncer",
		account:  "postgres",

		files: func(s *Server) map[string]string {
			return map[string]string{
				"users": strconv.Quote(upstream.User.Username()) + " " + strconv.Quote(password) + "\n",
				"pgbouncer.ini": fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = plain
auth_file = %s
pool_mode = transaction
max_client_conn = 300
default_pool_size = 20
`, upstream.Hostname(), upstream.Port(), s.port, s.path("users")),
			}
		},
		command: func(s *Server) *exec.Cmd { return exec.Command(s.programs["pgbouncer"], s.path("pgbouncer.ini")) },

		polite: syscall.SIGTERM, // which is its way to end at once
		abort:  syscall.SIGTERM,

		driver: "pgx",
		admin: func(s *Server) string {
			front := *upstream
			front.Host = fmt.Sprintf("127.0.0.1:%d", s.port)
			query := front.Query()
			query.Set("default_query_exec_mode", "exec")
			front.RawQuery = query.Encode()
			return front.String()
		},
	}
}
