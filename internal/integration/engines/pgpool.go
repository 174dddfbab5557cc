package engines

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Pgpool starts pgpool-II in front of a pair of servers, in its default mode: writes go to the
// primary, and most reads to the standby, unless the application's name is "delivery". It is
// removed at the end of the test.
func Pgpool(t testing.TB, p *Pair) *Pooler {
	t.Helper()
	return startPooler(t, pgpool(p))
}

func pgpool(p *Pair) *product {
	return &product{
		name:     "pgpool-II",
		programs: []string{"pgpool"},
		pkg:      "pgpool2",
		account:  "postgres",

		files: func(s *Server) map[string]string {
			pcp, _ := freePort() // for its administration; it ends by itself if the port is taken
			return map[string]string{"pcp.conf": "", "pool_hba.conf": "", "pgpool.conf": strings.NewReplacer(
				"DIR", s.dir, "PORT", fmt.Sprint(s.port), "PCP", fmt.Sprint(pcp), "PASSWORD", p.Primary.password,
				"PRIMARY", fmt.Sprint(p.Primary.port), "STANDBY", fmt.Sprint(p.Standby.port),
			).Replace(`
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = PORT
pcp_listen_addresses = '127.0.0.1'
pcp_port = PCP
socket_dir = 'DIR'
pcp_socket_dir = 'DIR'
pid_file_name = 'DIR/pid'
logdir = 'DIR'
num_init_children = 64
pool_passwd = ''
allow_clear_text_frontend_auth = on
sr_check_user = 'delivery'
sr_check_password = 'PASSWORD'
sr_check_database = 'postgres'
backend_hostname0 = '127.0.0.1'
backend_port0 = PRIMARY
backend_weight0 = 0
backend_flag0 = 'DISALLOW_TO_FAILOVER'
backend_hostname1 = '127.0.0.1'
backend_port1 = STANDBY
backend_weight1 = 1
backend_flag1 = 'DISALLOW_TO_FAILOVER'
app_name_redirect_preference_list = 'delivery:primary'
`)}
		},
		command: func(s *Server) *exec.Cmd {
			return exec.Command(s.programs["pgpool"], "-n", "-f", s.path("pgpool.conf"), "-F", s.path("pcp.conf"), "-a", s.path("pool_hba.conf"))
		},

		polite: syscall.SIGINT,
		abort:  syscall.SIGQUIT,

		driver: "pgx",
		admin: func(s *Server) string {
			return strings.Replace(postgres.admin(p.Primary), fmt.Sprint(":", p.Primary.port), fmt.Sprint(":", s.port), 1)
		},
	}
}
