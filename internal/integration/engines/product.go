package engines

import (
	"crypto/rand"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// product is a database server that tests can use: what its makers call things.
type product struct {
	name     string   // for people
	programs []string // that setup and command want
	pkg      string   // that brings them, on Debian
	env      string   // names the variable with the DSN of a server to use instead
	account  string   // whom the server runs as when we are root

	files   func(*Server) map[string]string // are texts by name, which setup and command may want
	setup   func(*Server) *exec.Cmd         // if not nil, fills the directory "data"
	command func(*Server) *exec.Cmd         // is the server

	polite syscall.Signal // stops the server
	abort  syscall.Signal // ends it at once and leaves nothing outside its directory

	driver string                                       // of the administrator
	admin  func(*Server) string                         // is the administrator's DSN
	dsn    func(admin, database string) (string, error) // is that of another database on the same server
	drop   string                                       // is the statement for the database %s; open connections must not stop it

	unsynced []string // are flags with which the server does not wait for the disk
}

var products = map[Kind]*product{Postgres: &postgres, MySQL: &mariadb}

// create makes an empty database on the administrator's server and returns its name.
func (p *product) create(t testing.TB, admin string) (name string) {
	t.Helper()
	db, err := sql.Open(p.driver, admin)
	if err != nil {
		t.Fatalf("connecting to %s: %v", p.name, err)
	}
	defer db.Close()
	name = newName()
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return name
}

func newName() string { return "delivery_" + strings.ToLower(rand.Text()) }

// find returns the paths of p's programs by name, nil if one is nowhere.
func (p *product) find() map[string]string {
	versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Reverse(versions) // the newest first
	dirs := slices.Concat(filepath.SplitList(os.Getenv("PATH")), versions, []string{"/usr/sbin", "/usr/local/sbin", "/usr/libexec"})

	paths := map[string]string{}
	for _, name := range p.programs {
		i := slices.IndexFunc(dirs, func(dir string) bool {
			_, err := exec.LookPath(filepath.Join(dir, name))
			return err == nil
		})
		if i < 0 {
			return nil
		}
		paths[name] = filepath.Join(dirs[i], name)
	}
	return paths
}
