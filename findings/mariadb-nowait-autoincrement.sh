#!/usr/bin/env bash
# An INSERT ... SELECT that may not wait fails in MariaDB as if the table's AUTO_INCREMENT were broken, while another one runs.
# Versions: MariaDB 10.11 from Debian (seen with 10.11.19), default settings (innodb_autoinc_lock_mode=1).
# Expected: innodb_lock_wait_timeout=0 is documented as "no wait", and "when this occurs, the statement (not transaction) is rolled
# back" with ER_LOCK_WAIT_TIMEOUT (1205), which is what libraries look for to try again, as for every other lock.
# Seen: each INSERT ... SELECT locks the table's counter until its end, also if all of its rows exist. The second one gets 1467,
# "Failed to read auto-increment value from storage engine", though the two have no row in common. INSERT ... VALUES passes if the
# first one is an INSERT ... VALUES, too.
# So a "SKIP LOCKED" for inserts that is made of this setting reports a fault of the storage engine, whenever two users are busy.
# Output seen: select beside select: ERROR 1467 (HY000) at line 1: Failed to read auto-increment value from storage engine
#              a row that is locked: ERROR 1205 (HY000) at line 1: Lock wait timeout exceeded; try restarting transaction
#              values beside values: stored
set -euo pipefail
dir=$(mktemp -d)
server=
trap '[[ -z $server ]] || { kill "$server"; wait "$server" || true; }; rm -rf "$dir"' EXIT
cd "$dir"
export PATH=$PATH:/usr/sbin

mkdir data
as=()
if (( $(id -u) == 0 )); then chmod 711 . && chown mysql data && as=(--user=mysql); fi
timeout 120 mariadb-install-db --no-defaults "${as[@]}" --datadir="$dir/data" --auth-root-authentication-method=normal >install.log 2>&1
mariadbd --no-defaults "${as[@]}" --datadir="$dir/data" --socket="$dir/data/s" --skip-networking 2>server.log &
server=$!
sql() { timeout 60 mariadb --no-defaults -u root -S "$dir/data/s" -N "$@" 2>&1; }
for _ in {1..100}; do sql -e 'SELECT 1' >up.log && break; sleep 0.2; done
sql -e 'CREATE DATABASE app; CREATE TABLE app.reader(id INT AUTO_INCREMENT, name VARCHAR(20) PRIMARY KEY, seq INT, KEY (id))'
sql app -e "INSERT INTO reader (name, seq) VALUES ('ann', 1), ('bob', 1)"

# beside FIRST SECOND runs SECOND, which may not wait, while FIRST sleeps for 3 s in the middle, and says what becomes of it.
beside() {
	sql app -e "BEGIN; $1; ROLLBACK" >first.log &
	local first=$!
	for _ in {1..100}; do [[ $(sql -e "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'") == 1 ]] && break; sleep 0.05; done
	sql app -e "SET innodb_lock_wait_timeout = 0; $2; SELECT 'stored'" | grep -E '^(ERROR|stored)' || true
	wait "$first"
}
set_later='ON DUPLICATE KEY UPDATE seq = 2'
{
	printf 'select beside select: '
	beside "INSERT INTO reader (name, seq) SELECT name, if(name = 'ann', 2, sleep(3)) FROM (SELECT 'ann' name UNION ALL SELECT 'dan') two $set_later" \
		"INSERT INTO reader (name, seq) SELECT 'bob', 2 $set_later"
	printf 'a row that is locked: '
	beside "UPDATE reader SET seq = sleep(3) WHERE name = 'ann'" "UPDATE reader SET seq = 3 WHERE name = 'ann'"
	printf 'values beside values: '
	beside "INSERT INTO reader (name, seq) VALUES ('ann', 2), ('dan', sleep(3)) $set_later" "INSERT INTO reader (name, seq) VALUES ('bob', 2) $set_later"
} | tee out
diff out - <<'E'
select beside select: ERROR 1467 (HY000) at line 1: Failed to read auto-increment value from storage engine
a row that is locked: ERROR 1205 (HY000) at line 1: Lock wait timeout exceeded; try restarting transaction
values beside values: stored
E
