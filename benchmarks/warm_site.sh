#!/bin/bash
# How long a cold site takes to be warmed: 5,184 real thumbnails of the demo site enlarged, through its own nginx, by
# cache-warm and by `curl --parallel` over the same URLs with as many requests in flight, in turns. A visitor looks at
# random thumbnails meanwhile, ten per second, over HTTPS.
# Deploys a site of its own and removes it again, which takes most of the time (about ten minutes).
# usage: benchmarks/warm_site.sh [rounds, default 5]   KEEP_SITE=1 leaves the site there for another run
#
# To know when reading the figures:
# - Everything runs on one machine: the image servers that draw, the database, nginx, the client and the visitor.
# - cache-warm's time holds all of it: the start of the service, the walk through the list of images, the journal, and
#   the second request for 1,000 of the pages in the end. curl is given a file of URLs that is made beforehand.
# - curl has no notion of what is cached, takes an error for an answer and cannot go on where it was cut.
# shellcheck source=bin/environment
. "$(dirname "$0")/../bin/environment"
become_root "$@"
make_environment requirements-test.txt
install_packages mmdebstrap
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
for playbook in provision configure load warm; do
  say "$playbook.yml"
  ansible-playbook -i $inventory playbooks/$playbook.yml >"$log" 2>&1 || { tail -n 40 "$log"; exit 2; }
done
docker exec warming-proxy sh -c 'command -v curl || { apt-get -q update && apt-get -qy install curl; }' >"$log" 2>&1
.venv/bin/python benchmarks/warm_site/compare.py "${1:-5}"
