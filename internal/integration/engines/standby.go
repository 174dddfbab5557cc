package engines

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Pair is a Postgres server and a hot standby that confirms its commits, for tests that promote the
// standby.
type Pair struct {
	Primary, Standby *Server // they change places

	engine   Engine
	database string
}

// Pair starts two servers of t's own with an empty database, which are removed at the end of the
// test.
func (e Engine) Pair(t testing.TB) *Pair {
	t.Helper()
	p := &Pair{Primary: e.Server(t), engine: e}
	p.database = postgres.create(t, postgres.admin(p.Primary))
	var err error
	if p.Standby, err = prepare(&postgres, p.Primary.programs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Standby.remove(); err != nil {
			t.Error(err)
		}
	})
	if err := p.attach(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Database is the pair's database: its DSN leads to whichever of the two takes writes.
func (p *Pair) Database(t testing.TB) Database {
	t.Helper()
	u, err := url.Parse(p.Primary.product.admin(p.Primary))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", p.Primary.port, p.Standby.port)
	u.Path = "/" + p.database
	u.RawQuery = "sslmode=disable&target_session_attrs=read-write"
	return Database{Engine: p.engine, DSN: u.String()}
}

// OpenStandby returns a pool on the standby, which reads only, closed at the end of the test.
func (p *Pair) OpenStandby(t testing.TB) *sql.DB {
	t.Helper()
	return p.engine.named(t, p.Standby.product.admin(p.Standby), p.database).Open(t)
}

// Promote kills the server that takes writes and has the other one take them. It calls promoted as
// soon as that one does, alone at first, and then makes the killed server its standby.
func (p *Pair) Promote(promoted func()) error {
	if err := p.Primary.Kill(); err != nil {
		return err
	}
	p.Primary, p.Standby = p.Standby, p.Primary
	err := p.command("ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()", "SELECT pg_promote()")
	if err != nil {
		return err
	}
	promoted()
	if err := os.RemoveAll(p.Standby.path("data")); err != nil {
		return err
	}
	return p.attach()
}

// attach makes the standby one of the primary, and has it confirm each commit from now on.
func (p *Pair) attach() error {
	program, err := filepath.EvalSymlinks(p.Standby.programs["postgres"]) // the others are beside it
	if err != nil {
		return err
	}
	product := postgres
	product.setup = func(s *Server) *exec.Cmd {
		return exec.Command(filepath.Join(filepath.Dir(program), "pg_basebackup"), "--dbname", postgres.admin(p.Primary),
			"--pgdata", s.path("data"), "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	}
	p.Standby.product, p.Standby.password = &product, p.Primary.password
	if err := p.Standby.boot(); err != nil {
		return err
	}
	if err := p.command("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return p.awaitStandby()
}

// awaitStandby waits until the standby confirms commits. A session takes in a changed setting
// between two of its statements, and says by its own settings who confirms, so it has to be asked
// again and again.
func (p *Pair) awaitStandby() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := sql.Open(postgres.driver, postgres.admin(p.Primary))
	if err != nil {
		return err
	}
	defer db.Close()
	for confirms := false; !confirms; time.Sleep(20 * time.Millisecond) {
		err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')").Scan(&confirms)
		if err != nil {
			return fmt.Errorf("waiting for the standby to confirm commits: %w", err)
		}
	}
	return nil
}

// command executes statements on the primary.
func (p *Pair) command(statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := sql.Open(postgres.driver, postgres.admin(p.Primary))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
