#!/bin/sh
# SPDX-License-Identifier: MIT
# Run a web server that answers GET / with "hello, world", as fast as its configuration allows: one
# process, no logs, connections kept as long as the server lets them, from memory where it can. A
# peer of the benchmarks.
#
#   bench/peers/http.sh nginx|h2o|lighttpd --port N
#
# The configuration is written to build/peers/http-N.
set -eu

if [ $# -ne 3 ] || [ "$2" != --port ]; then
	echo "usage: $0 nginx|h2o|lighttpd --port N" >&2
	exit 2
fi
server=$1 port=$3
# Debian's servers are where only root looks.
PATH=$PATH:/usr/sbin
cd "$(dirname "$0")/../.."
mkdir -p "build/peers/http-$port/www"
cd "build/peers/http-$port"
printf 'hello, world\n' >www/index.html

case $server in
nginx)
	cat >nginx.conf <<-END
		daemon off;
		master_process off;
		pid nginx.pid;
		error_log stderr crit;
		worker_rlimit_nofile 20000;
		events { worker_connections 19000; multi_accept on; }
		http {
			access_log off;
			keepalive_requests 1000000000;
			keepalive_timeout 1h;
			tcp_nodelay on;
			default_type text/plain;
			client_body_temp_path .;
			proxy_temp_path .;
			fastcgi_temp_path .;
			uwsgi_temp_path .;
			scgi_temp_path .;
			server {
				listen 127.0.0.1:$port backlog=4096;
				location / { return 200 "hello, world\n"; }
			}
		}
	END
	exec nginx -e stderr -p "$PWD" -c nginx.conf
	;;
h2o)
	# Files are its fastest answer; it keeps them open.
	cat >h2o.conf <<-END
		user: $(id -un)
		num-threads: 1
		max-connections: 19000
		http1-request-timeout: 3600
		listen: { host: 127.0.0.1, port: $port }
		hosts:
		  default:
		    paths:
		      /: { file.dir: $PWD/www }
	END
	exec h2o -c h2o.conf
	;;
lighttpd)
	# It closes a connection after 65535 requests at the latest.
	cat >lighttpd.conf <<-END
		server.bind = "127.0.0.1"
		server.port = $port
		server.document-root = "$PWD/www"
		server.errorlog = "/dev/null"
		server.event-handler = "linux-sysepoll"
		server.max-worker = 0
		server.max-fds = 19000
		server.max-connections = 18000
		server.max-keep-alive-requests = 65535
		server.max-keep-alive-idle = 3600
		server.listen-backlog = 4096
		index-file.names = ( "index.html" )
		mimetype.assign = ( ".html" => "text/plain" )
	END
	exec lighttpd -D -f lighttpd.conf
	;;
*)
	echo "$0: $server is no server it knows" >&2
	exit 2
	;;
esac
