#!/bin/bash
# How fast the warm asks for what costs nothing to answer: 100,000 hot objects of 6 kB from a static nginx on this
# machine, 32 in flight, by cache-warm (journal, status file, metrics and the sample in the end included), a bare loop
# over libcurl's multi interface, aiohttp, four `wget -i` abreast, `xargs -P curl` and `curl --parallel`, in turns.
# usage: benchmarks/warm_client.sh [rounds, default 7]
#
# To know when reading the figures:
# - The bare loop keeps nothing, checks nothing but the status and cannot go on where it was cut; it is the bound.
# - cache-warm reads its list twice (to count it), works out the key of each URL, notes each in SQLite and asks for
#   at least 1,000 of them again: 1 % more requests, which its rate does not count (5 % where a list has 20,000).
# - The three in Python are timed from the first step of their work, without the start of the interpreter; the others as
#   commands. "whole command" is cache-warm with the start of Python.
# - The others get a part of the URLs, or the round would take minutes: wget a tenth, aiohttp a twentieth,
#   `curl --parallel` a fiftieth, and one process of curl per URL 400.
# - Give ten rounds or more on a machine that does other work: each client is compared with the bare loop of its round.
# - Client and nginx share the machine's cores.
# shellcheck source=bin/environment
. "$(dirname "$0")/../bin/environment"
install_nginx
install_packages wget curl python3-pycurl python3-aiohttp python3-prometheus-client
# As on a cache host: Debian's Python and Debian's libcurl.
exec /usr/bin/python3 -B benchmarks/warm_client/compare.py "${1:-7}"
