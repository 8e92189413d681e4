#!/bin/bash
# What visitors notice of a crawler that asks for 2,000 different pages a second which are not cached, for 30 seconds: the
# 95th percentile of what others wait for cached pages and for pages that are drawn for them, quiet and meanwhile, without
# limits for misses and with those that a site has unless its file says otherwise.
# Deploys a site of its own and removes it again, which takes most of the time (about eight minutes).
# usage: benchmarks/scraper.sh   KEEP_SITE=1 leaves the site there for another run
#
# To know when reading the figures:
# - Everything runs on one machine: image servers, database, nginx, the crawler and the visitors. The crawler itself takes
#   a part of the processors that a real one would not.
# - The crawler comes from one host of the site's network and the visitors from another, so that nginx sees two clients
#   of one network.
# - All pages are real: 5,184 images of the demo's plate in three sizes each, 15,000 pages that the crawl goes through some
#   four times. Few of them are drawn for it, so that few are in the cache when it comes by again.
# shellcheck source=bin/environment
. "$(dirname "$0")/../bin/environment"
become_root "$@"
make_environment requirements-test.txt
install_packages mmdebstrap wrk netbase util-linux
start_docker
samples/build
.venv/bin/python benchmarks/warm_site/images
inventory=benchmarks/warm_site/inventory
log=$(mktemp)
finish() {
  [ -n "${KEEP_SITE:-}" ] || ansible-playbook -i $inventory molecule/destroy.yml >"$log" 2>&1
  rm -f "$log"
}
trap finish EXIT
play() {
  say "$*"
  ansible-playbook -i $inventory "playbooks/$1" "${@:2}" >"$log" 2>&1 || { tail -n 40 "$log"; exit 2; }
}
play provision.yml
play configure.yml
play load.yml
play configure/cache.yml -e '{"cache_limits": {"misses_per_second": 100000}, "cache_client_misses": 10000, "cache_route_misses": 10000}'
.venv/bin/python benchmarks/scraper/measure.py without limits
play configure/cache.yml
.venv/bin/python benchmarks/scraper/measure.py with the limits of every site
