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

	secret: func(password string) string {
		return fmt.Sprintf("CREATE OR REPLACE USER delivery@'127.0.0.1' IDENTIFIED BY '%s';\n", password) +
			"GRANT ALL ON *.* TO delivery@'127.0.0.1';\n"
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
		config, err := mysql.ParseDSN(admin)
		if err != nil {
			return "", err
		}
		config.DBName = database
		return config.FormatDSN(), nil
	},
	drop: "DROP DATABASE %s",
}

// foundRows makes the server count matched rows as affected, and the driver put arguments into the statement's text.
func foundRows(dsn string) string {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return dsn // sql.Open will say
	}
	config.ClientFoundRows, config.InterpolateParams, config.ParseTime = true, true, true
	return config.FormatDSN()
}
