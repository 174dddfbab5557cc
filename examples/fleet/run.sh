#!/usr/bin/env bash
# Runs three processes of examples/chat behind nginx, over one Postgres and one Pusher server.
#
#   export DELIVERY_DB=postgres://user:password@host/name
#   export DELIVERY_PUSHER=https://KEY:SECRET@HOST/apps/ID
#   examples/fleet/run.sh [PORT]
#
# nginx listens at PORT of 127.0.0.1, 8080 unless it is given, and the processes at the three ports after it. The script needs
# Go, nginx and no rights. An interrupt ends all of it. docs/operations.md says what else many machines want.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${DELIVERY_DB:?is not set: postgres://user:password@host/name}" "${DELIVERY_PUSHER:?is not set: https://KEY:SECRET@HOST/apps/ID}"
PATH=$PATH:/usr/sbin
port=${1:-8080}
dir=$(mktemp -d)
pids=()
trap 'trap - EXIT; kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
trap 'exit 0' INT TERM

# all_run ends the script if one of the programs has ended.
all_run() {
	for pid in "${pids[@]}"; do kill -0 "$pid" || exit 1; done
}

# until_open PORT waits until something listens there, or one of the programs has ended.
until_open() {
	until (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
		all_run
		sleep 0.05
	done
	all_run # and not something else that listens there
}

go build -o "$dir/chat" ./examples/chat
for process in 1 2 3; do
	"$dir/chat" -addr "127.0.0.1:$((port + process))" >/dev/null &
	pids+=($!)
	until_open $((port + process)) # the first makes the tables
done
processes="${pids[*]}"

cat >"$dir/nginx.conf" <<-END
	daemon off;
	master_process off; # one process is enough here, and needs no user of its own
	pid pid;
	events {}
	http {
	  access_log off;
	  client_body_temp_path body;
	  proxy_temp_path proxy;
	  fastcgi_temp_path fastcgi;
	  uwsgi_temp_path uwsgi;
	  scgi_temp_path scgi;

	  upstream chat {
	    server 127.0.0.1:$((port + 1));
	    server 127.0.0.1:$((port + 2));
	    server 127.0.0.1:$((port + 3));
	    keepalive 32;
	  }

	  server {
	    listen 127.0.0.1:$port;
	    proxy_http_version 1.1;
	    proxy_set_header Connection "";
	    proxy_set_header Host \$http_host;

	    location / {
	      proxy_pass http://chat;
	    }
	  }
	}
END
nginx -p "$dir" -c "$dir/nginx.conf" -e stderr &
pids+=($!)
until_open "$port"
echo "Listening on http://127.0.0.1:$port"
echo "Processes $processes"
wait
