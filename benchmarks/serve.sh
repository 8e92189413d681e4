#!/usr/bin/env bash
# How much of a plain nginx's speed is left in the cache as the role configures it: requests per second and 99th
# percentile of pages that are cached, against the same nginx with a proxy_cache configuration of a dozen lines
# (benchmarks/serve/minimal.conf). Both run on this machine on loopback ports, in turns, over HTTP/1.1 (wrk) and HTTP/2
# (h2load), each with TLS; compared are the medians of the rounds, and the smaller ratio counts.
# usage: benchmarks/serve.sh [rounds [seconds]]
#
# To know when reading the figure:
# - The load comes from the same processors, so that requests per second are less than a host of its own would serve;
#   the ratio is flattered a little, because the clients' share is the same on both sides.
# - The deployed side does more for each request: it matches the policy's routes, tidies up the arguments, looks for the
#   maintenance, sends more headers, and writes a log line of three times the length. Both sides write their log in
#   portions, although the short configuration of most sites writes each line by itself, and into memory: 20 MB of log
#   per second, which no site has, would measure the disk.
# - 500 pages of 10 kB are asked for in turn: they stay in the memory of the kernel.
#
# Needs root: nginx's workers run as www-data. Installs nginx, wrk and h2load from Debian where they are missing.
# shellcheck source=bin/environment
. "$(dirname "$0")/../bin/environment"
become_root "$@"
rounds=${1:-20} seconds=${2:-2} goal=0.9
install_nginx
# netbase: wrk looks up service names.
install_packages wrk nghttp2-client netbase openssl
command -v ansible-playbook >/dev/null || make_environment requirements-test.txt

directory=$(mktemp -d) log=$(mktemp -d -p /dev/shm)
deployed_port=28443 minimal_port=28444 image_server_port=28045
clean() {
  local pid
  for pid in "$directory"/*.pid; do
    [ ! -s "$pid" ] || kill "$(cat "$pid")"
  done
  sleep 1
  rm -rf "$directory" "$log"
}
trap clean EXIT
chmod 755 "$directory" "$log"
ln -s "$log" "$directory/log"
mkdir -p "$directory"/{deployed,minimal,temporary,snippets,gallery,pictures}
head -c 10000 /dev/urandom >"$directory/pictures/picture"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 2 \
  -keyout "$directory/key.pem" -out "$directory/certificate.pem" 2>"$directory/openssl"

# The role's own configuration; only the places and ports are this machine's.
ansible-playbook -i benchmarks/serve/inventory.yml benchmarks/serve/render.yml \
  -e destination="$directory/deployed.conf" -e image_server_port=$image_server_port >"$directory/rendered" ||
  { cat "$directory/rendered" >&2; exit 2; }
sed -i "s,/run/nginx.pid,$directory/deployed.pid,; s,/var/log/nginx,$directory/log,
  s,/var/cache/nginx,$directory/deployed,
  s,/etc/nginx/snippets,$directory/snippets,; s,/etc/nginx/maintenance,$directory/maintenance,
  s,/etc/ssl/certs/imaging-repository.pem,$directory/certificate.pem,
  s,/etc/ssl/private/imaging-repository.key,$directory/key.pem,; s,/var/lib/nginx/proxy,$directory/temporary,
  s,/var/www/gallery,$directory/gallery,; s,root /etc/nginx;,root $directory;,
  s,listen 443 ,listen 127.0.0.1:$deployed_port ,; s,listen 80 ,listen 127.0.0.1:28080 ,
  s,127.0.0.1:8081,127.0.0.1:28081,; s,127.0.0.1:8082,127.0.0.1:28082,; s,127.0.0.1:8083,127.0.0.1:28083," "$directory/deployed.conf"
# nginx 1.22 of a Debian 12 controller says it otherwise than that of the hosts.
if nginx -v 2>&1 | grep -q '/1\.22\.'; then
  sed -i '/^ *http2 on;$/d; s/ ssl default_server;/ ssl http2 default_server;/' "$directory/deployed.conf"
fi
# A variable of nginx.
# shellcheck disable=SC2016
echo 'map $image_server $login { default "Basic eDp5"; }' >"$directory/snippets/image-server-logins.conf"
printf "map \$uri \$test_%s { default ''; }\n" server path >"$directory/snippets/test-images.conf"
for name in minimal image_server; do
  sed "s,@directory@,$directory,; s,@port@,$minimal_port,; s,@image_server_port@,$image_server_port," \
    "benchmarks/serve/$name.conf" >"$directory/$name.conf"
done
for name in image_server minimal deployed; do
  nginx -q -e "$directory/log/start.log" -c "$directory/$name.conf"
done

export PATHS="$directory/paths"
for number in $(seq 500); do
  printf '/instances/%08x-662f8fe1-8b18180d-ec2a2cee-937917af/rendered?width=256\n' "$number"
done >"$PATHS"
for port in $deployed_port $minimal_port; do
  sed "s,^,url = https://127.0.0.1:$port," "$PATHS" | sed 'a output = /dev/null' |
    curl --silent --insecure --fail --parallel --parallel-max 8 --config - 2>"$directory/log/curl" ||
    fail "the side on port $port does not answer"
done

# Prints requests per second, the 99th percentile in milliseconds and errors.
http1() { wrk --threads 1 --connections 64 --duration "${seconds}s" --script benchmarks/serve/requests.lua \
  "https://127.0.0.1:$1" | awk '$1 == "FIGURES" { print $2, $3, $4 }'; }
# nginx closes a connection after 1,000 requests, which h2load counts as failures: 64 connections of 900, for as many
# seconds as the other.
http2() {
  local until=$((SECONDS + seconds))
  while [ $SECONDS -lt $until ]; do
    h2load --clients 64 --max-concurrent-streams 4 --requests 57600 --base-uri "https://127.0.0.1:$1" \
      --input-file "$PATHS"
  done | awk '/^finished in/ { rate = $4 } /^requests:/ { time += $8 / rate; done += $8; failed += $10 + $12 + $14 }
    END { print done / time, 0, failed }'
}
for round in $(seq "$rounds"); do
  for protocol in http1 http2; do
    # Whoever comes second in a round comes first in the next.
    sides="deployed minimal"
    [ $((round % 2)) = 1 ] || sides="minimal deployed"
    for side in $sides; do
      port=${side}_port
      echo "$protocol $side $($protocol "${!port}")" | tee -a "$directory/figures" >&2
    done
  done
done

python3 - "$directory/figures" "$goal" <<'PYTHON'
import statistics
import sys
from pathlib import Path

goal = float(sys.argv[2])
rows = [line.split() for line in Path(sys.argv[1]).read_text().splitlines()]
ratios = []
protocols = {'http1': 'HTTP/1.1 with TLS, 64 connections', 'http2': 'HTTP/2, 64 connections of 4 streams'}
for protocol, name in protocols.items():
    rate, tail = {}, {}
    for side in ('minimal', 'deployed'):
        mine = [row[2:] for row in rows if row[:2] == [protocol, side]]
        if any(len(row) != 3 or int(row[2]) for row in mine):
            sys.exit(f'serve: {protocol} of the {side} side had errors, see the lines above')
        rate[side] = statistics.median(float(row[0]) for row in mine)
        tail[side] = statistics.median(float(row[1]) for row in mine)
    ratios.append(rate['deployed'] / rate['minimal'])
    latency = f", p99 {tail['minimal']:.1f} and {tail['deployed']:.1f} ms" if protocol == 'http1' else ''
    rates = f"minimal {rate['minimal']:.0f}/s, deployed {rate['deployed']:.0f}/s"
    print(f'{name}: {rates}{latency}, ratio {ratios[-1]:.2f}')
print(f'serve_of_minimal: {min(ratios):.2f} (goal {goal})')
sys.exit(min(ratios) < goal)
PYTHON
