#!/bin/sh
# SPDX-License-Identifier: MIT
# Run a web server that answers GET / with "hello, world", as fast as its configuration allows: one
# process, no logs, connections kept as long as the server lets them, from memory where it can. A
# peer of the benchmarks.
#
#   bench/peers/http.sh nginx|h2o|lighttpd --port N
set -eu

if [ $# -ne 3 ] || [ "$2" != --port ]; then
	echo "usage: $0 nginx|h2o|lighttpd --port N" >&2
	exit 2
fi
server=$1 port=$3
# Debian's servers are where only root looks.
PATH=$PATH:/usr/sbin
mkdir -p "$(dirname "$0")/../../build/peers/www"
cd "$(dirname "$0")/../../build/peers"
folder=$PWD
printf 'hello, world\n' >www/index.html

print_configuration() {
	case $server in
	nginx)
		cat <<-END
			daemon off;
			master_process off;
			pid $folder/nginx.pid;
			error_log stderr crit;
			worker_rlimit_nofile 20000;
			events { worker_connections 19000; multi_accept on; }
			http {
				access_log off;
				keepalive_requests 1000000000;
				keepalive_timeout 1h;
				tcp_nodelay on;
				default_type text/plain;
				client_body_temp_path $folder;
				proxy_temp_path $folder;
				fastcgi_temp_path $folder;
				uwsgi_temp_path $folder;
				scgi_temp_path $folder;
				server {
					listen 127.0.0.1:$port backlog=4096;
					location / { return 200 "hello, world\n"; }
				}
			}
		END
		;;
	h2o)
		# Whom root becomes: itself. Others may not even ask.
		[ "$(id -u)" -ne 0 ] || echo 'user: root'
		# Files are its fastest answer; it keeps them open.
		cat <<-END
			num-threads: 1
			max-connections: 19000
			http1-request-timeout: 3600
			listen: { host: 127.0.0.1, port: $port }
			hosts:
			  default:
			    paths:
			      /: { file.dir: $folder/www }
		END
		;;
	lighttpd)
		# It closes a connection after 65535 requests at the latest.
		cat <<-END
			server.bind = "127.0.0.1"
			server.port = $port
			server.document-root = "$folder/www"
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
		;;
	*)
		echo "$0: $server is no server it knows" >&2
		return 2
		;;
	esac
}

# A file that is gone with the server, and that several of them do not share.
configuration=$(mktemp http.XXXXXX)
print_configuration >"$configuration" || {
	rm "$configuration"
	exit 2
}
exec 3<"$configuration"
rm "$configuration"
case $server in
nginx) exec nginx -e stderr -p "$folder" -c /dev/fd/3 ;;
h2o) exec h2o -c /dev/fd/3 ;;
lighttpd) exec lighttpd -D -f /dev/fd/3 ;;
esac
