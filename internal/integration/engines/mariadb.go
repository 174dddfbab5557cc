package engines

import (
	"fmt"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

var mariadb = product{
	name:     "a MariaDB server",
	programs: []string{"mariadb-install-db", "mariadbd"},
	pkg:      "mariadb-server",
	env:      "DELIVERY_TEST_MYSQL",
	account:  "mysql",

	files: func(s *Server) map[string]string {
		return map[string]string{"secret": fmt.Sprintf("CREATE OR REPLACE USER delivery@'127.0.0.1' IDENTIFIED BY '%s';\n", s.password) +
			"GRANT ALL ON *.* TO delivery@'127.0.0.1' WITH GRANT OPTION;\n"}
	},
	setup: func(s *Server) *exec.Cmd {
		return exec.Command(s.programs["mariadb-install-db"], "--no-defaults", "--datadir="+s.path("data"), "--skip-test-db")
	},
	command: func(s *Server) *exec.Cmd {
		return exec.Command(s.programs["mariadbd"], "--no-defaults", "--datadir="+s.path("data"), "--tmpdir="+s.dir,
			"--port="+strconv.Itoa(s.port), "--bind-address=127.0.0.1", "--socket="+s.path("socket"), "--pid-file="+s.path("pid"),
			"--skip-name-resolve", "--init-file="+s.path("secret"),
			"--max-connections=300",
			"--default-time-zone=+05:45") // so that a query which needs UTC has to say so
	},

	polite: syscall.SIGTERM,
	abort:  syscall.SIGKILL,

	driver: "mysql",
	admin: func(s *Server) string {
		return fmt.Sprintf("delivery:%s@tcp(127.0.0.1:%d)/", s.password, s.port)
	},
	dsn: func(admin, database string) (string, error) {
		return changed(admin, func(c *mysql.Config) { c.DBName = database })
	},
	drop: "DROP DATABASE %s",

	unsynced: []string{"--innodb-flush-method=nosync", "--sync-frm=0"},
}

func changed(dsn string, change func(*mysql.Config)) (string, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "", err
	}
	change(config)
	return config.FormatDSN(), nil
}
