#!/usr/bin/env bash
# With interpolateParams, go-sql-driver refuses a text of some lengths as too large, and stores shorter and longer ones.
# Versions: github.com/go-sql-driver/mysql v1.10.1, MariaDB 10.11 from Debian (seen with 10.11.19), maxAllowedPacket=65536 in the DSN.
# Expected: if the statement with its arguments exceeds maxAllowedPacket, the driver prepares it, as without interpolateParams,
# and sends the argument in pieces. It does so for every longer text.
# Seen: the limit is looked at after each argument, and not after what follows the last one. A text that fits, with a rest of the
# statement that does not, is "packet for query is too large", at every try. The longer the statement after its last "?", the
# more lengths are refused. The same happens at 64 MiB, the default, and at the server's own limit with maxAllowedPacket=0.
# Output seen: 65400 <nil>
#              65480 packet for query is too large. Try adjusting the `Config.MaxAllowedPacket`
#              65600 <nil>
#              1000000 <nil>
set -euo pipefail
dir=$(mktemp -d)
server=
trap '[[ -z $server ]] || { kill "$server"; wait "$server" || true; }; rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod PATH=$PATH:/usr/sbin

mkdir data
as=()
if (( $(id -u) == 0 )); then chmod 711 . && chown mysql data && as=(--user=mysql); fi
timeout 120 mariadb-install-db --no-defaults "${as[@]}" --datadir="$dir/data" --auth-root-authentication-method=normal >install.log 2>&1
mariadbd --no-defaults "${as[@]}" --datadir="$dir/data" --socket="$dir/data/s" --skip-networking 2>server.log &
server=$!

cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

type quiet struct{}

func (quiet) Print(...any) {}

func main() {
	check(mysql.SetLogger(quiet{}))
	root, err := sql.Open("mysql", "root@unix("+os.Args[1]+")/")
	check(err)
	for range 100 {
		if err = root.Ping(); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	check(err)
	_, err = root.Exec("CREATE DATABASE IF NOT EXISTS test")
	check(err)
	db, err := sql.Open("mysql", "root@unix("+os.Args[1]+")/test?interpolateParams=true&maxAllowedPacket=65536")
	check(err)
	_, err = db.Exec("CREATE TABLE note(id INT PRIMARY KEY, body LONGTEXT)")
	check(err)
	for _, n := range []int{65400, 65480, 65600, 1000000} {
		_, err := db.Exec("INSERT INTO note(id, body) VALUES (?, ?) ON DUPLICATE KEY UPDATE body = VALUES(body)", n, strings.Repeat("x", n))
		fmt.Println(n, err)
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/go-sql-driver/mysql@v1.10.1 2>/dev/null
timeout 300 go build -o probe .
timeout 120 ./probe "$dir/data/s" | tee out
diff out - <<'E'
65400 <nil>
65480 packet for query is too large. Try adjusting the `Config.MaxAllowedPacket`
65600 <nil>
1000000 <nil>
E
