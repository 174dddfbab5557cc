#!/usr/bin/env bash
# At READ COMMITTED, a DELETE on MariaDB waits for locks of rows that its subquery only reads; the UPDATE of the same rows
# with the same subquery does not.
# Versions: MariaDB 10.11 from Debian (seen with 10.11.19), default settings but for the isolation of the sessions.
# Expected: both read the other table as a SELECT does, without locks, as Postgres does at READ COMMITTED. MariaDB itself
# does so for UPDATE, INSERT … SELECT and CREATE TABLE … SELECT.
# Seen: while somebody's open transaction has changed a row of reader, DELETE FROM receipt WHERE … = (SELECT … FROM reader)
# ends with error 1205. UPDATE receipt … WHERE … = (SELECT … FROM reader) is done at once.
# So a clean-up by DELETE waits for each writer of a table that it does not write.
# Output seen: UPDATE done
#              DELETE ERROR 1205
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
mariadbd --no-defaults "${as[@]}" --datadir="$dir/data" --socket="$dir/data/s" --skip-networking --transaction-isolation=READ-COMMITTED 2>server.log &
server=$!
sql() { timeout 60 mariadb --no-defaults -u root --socket="$dir/data/s" "$@"; }
for _ in $(seq 100); do sql -e 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.2; done

sql -e 'CREATE DATABASE probe'
sql probe -e 'CREATE TABLE reader(id INT PRIMARY KEY, place INT); CREATE TABLE receipt(id INT PRIMARY KEY, reader INT, seq INT, gone INT)
	; INSERT INTO reader VALUES (1, 5); INSERT INTO receipt VALUES (1, 1, 5, 0)'
sql probe -e "BEGIN; UPDATE reader SET place = 6 WHERE id = 1; SELECT 'changed'; SELECT sleep(15)" --unbuffered >other.log &
other=$!
for _ in $(seq 100); do grep -q changed other.log && break; sleep 0.1; done
try() {
	local answer
	if answer=$(sql probe -e "SET innodb_lock_wait_timeout = 2; $2 WHERE seq = (SELECT place FROM reader WHERE reader.id = receipt.reader)" 2>&1); then answer=done; fi
	echo "$1 $(grep -oE '^(done|ERROR [0-9]+)' <<<"$answer")"
}
{
	try UPDATE 'UPDATE receipt SET gone = 1'
	try DELETE 'DELETE FROM receipt'
} | tee out
wait "$other"
diff out - <<'E'
UPDATE done
DELETE ERROR 1205
E
