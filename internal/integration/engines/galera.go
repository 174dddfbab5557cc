package engines

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// galeraProvider is the library that makes a cluster of MariaDB servers, where Debian puts it.
const galeraProvider = "/usr/lib/galera/libgalera_smm.so"

// Cluster is a Galera cluster of two MariaDB servers that both take writes, and of an arbitrator,
// so that either server goes on without the other.
type Cluster struct {
	Nodes [2]*Server

	engine   Engine
	database string
	members  [3]string // addresses in the group: the nodes', then the arbitrator's
}

// Cluster starts a cluster of t's own with an empty database, which is removed at the end of the
// test.
func (e Engine) Cluster(t testing.TB) *Cluster {
	t.Helper()
	programs := mariadb.find()
	_, err := os.Stat(galeraProvider)
	_, notFound := exec.LookPath("garbd")
	if err != nil || notFound != nil || programs == nil {
		need.Missing(t, "a Galera cluster", "apt-get install mariadb-server galera-4 galera-arbitrator-4 rsync lsof")
	}
	c := &Cluster{engine: e}
	for i := range c.members {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		c.members[i] = fmt.Sprint("127.0.0.1:", port)
	}
	for i := range c.Nodes {
		product := mariadb
		product.command = c.command(i, i == 0)
		s, err := prepare(&product, programs)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.remove(); err != nil {
				t.Error(err)
			}
		})
		c.Nodes[i] = s
		s.password = c.Nodes[0].password
		if err := s.boot(); err != nil {
			t.Fatal(err)
		}
		product.command = c.command(i, false)
		if err := c.await(i, "wsrep_local_state_comment", "Synced"); err != nil {
			t.Fatal(err)
		}
	}
	arbitrator, err := c.Nodes[0].run(exec.Command("garbd", "--address", c.group(), "--group", "delivery", "--name", "arbitrator",
		"--options", "gmcast.listen_addr=tcp://"+c.members[2]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		arbitrator.cmd.Process.Kill()
		<-arbitrator.done
	})
	if err := c.await(0, "wsrep_cluster_size", "3"); err != nil {
		t.Fatal(err)
	}
	c.Renew(t)
	return c
}

// Renew gives the cluster another empty database in place of the one it has.
func (c *Cluster) Renew(t testing.TB) {
	t.Helper()
	c.database = mariadb.create(t, mariadb.admin(c.Nodes[0]))
	c.Sync(t)
}

// Sync waits until the second node has what the first one had committed.
func (c *Cluster) Sync(t testing.TB) {
	t.Helper()
	db, err := sql.Open(mariadb.driver, mariadb.admin(c.Nodes[1])+"?wsrep_sync_wait=1")
	if err == nil {
		defer db.Close()
		_, err = db.ExecContext(t.Context(), "SELECT COUNT(*) FROM information_schema.schemata")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// group is how a node finds the others.
func (c *Cluster) group() string { return "gcomm://" + strings.Join(c.members[:], ",") }

// command returns the command of a node. The node that founds the cluster makes the user that all
// have.
func (c *Cluster) command(i int, founds bool) func(*Server) *exec.Cmd {
	return func(s *Server) *exec.Cmd {
		cmd, group := mariadb.command(s), "gcomm://"
		if !founds {
			group = c.group()
			cmd.Args = slices.DeleteFunc(cmd.Args, func(arg string) bool { return strings.HasPrefix(arg, "--init-file=") })
		}
		cmd.Args = append(cmd.Args, "--wsrep-on=ON", "--wsrep-provider="+galeraProvider,
			"--wsrep-cluster-address="+group, "--wsrep-cluster-name=delivery", "--wsrep-node-name=node"+strconv.Itoa(i),
			"--wsrep-node-address="+c.members[i], "--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=127.0.0.1:"+strconv.Itoa(s.port+1),
			"--wsrep-provider-options=gmcast.listen_addr=tcp://"+c.members[i]+";ist.recv_addr=127.0.0.1:"+strconv.Itoa(s.port+2),
			"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2")
		return cmd
	}
}

// Database is the cluster's database, as the node takes it.
func (c *Cluster) Database(t testing.TB, node int) Database {
	t.Helper()
	return c.engine.named(t, mariadb.admin(c.Nodes[node]), c.database)
}

// Kill kills a node as a crash would.
func (c *Cluster) Kill(node int) error { return c.Nodes[node].Kill() }

// Start starts a node that was killed, and waits until it has what the other one has.
func (c *Cluster) Start(node int) error {
	if err := c.Nodes[node].Start(); err != nil {
		return fmt.Errorf("%w\n%s", err, c.Nodes[node].logTail())
	}
	return c.await(node, "wsrep_local_state_comment", "Synced")
}

// await waits until the node says so.
func (c *Cluster) await(node int, status, want string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := sql.Open(mariadb.driver, mariadb.admin(c.Nodes[node]))
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		var is string
		err := db.QueryRowContext(ctx, "SHOW STATUS LIKE '"+status+"'").Scan(&status, &is)
		if err == nil && is == want {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s of node %d is %q, %w\n%s", status, node, is, err, c.Nodes[node].logTail())
		}
		time.Sleep(20 * time.Millisecond)
	}
}
