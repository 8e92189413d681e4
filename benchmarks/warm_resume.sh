#!/bin/bash
# What it costs to start the warm again: after a kill -9 half-way, and when everything is done already.
# usage: benchmarks/warm_resume.sh [URLs, default 1000000] [rounds, default 3]
#
# One million URLs of thumbnails are warmed by the program `cache-warm`, from a file, against an nginx on this machine that
# answers all of them with a small picture and logs each request. At 50 % the program gets SIGKILL and is started again:
# what nginx logged twice was asked for twice. Then it is started over the finished million, in turns:
# - by journal: it has forgotten where it was, and looks every URL up in the journal. This is the figure with the goal.
# - by cursor: it knows where it was, as after an ordinary kill.
# - by zone: another job over a tenth of the URLs, whose answers are in the zone of a real cache: it looks into each file.
#
# To know when reading the figures:
# - They hold all of it: the start of Python, reading the file of URLs, keys by the routes of Orthanc's policy, the report.
# - By zone, the URLs are also counted first, because a job that is complete begins anew. All files are in memory.
# - Nothing is sampled in the end, so that what is logged twice is due to the kill; once a second one page is asked for
#   again, to see that nginx keeps what it says.
# shellcheck source=bin/environment
. "$(dirname "$0")/../bin/environment"
become_root "$@"
make_environment requirements-test.txt
install_nginx
exec .venv/bin/python benchmarks/warm_resume/measure.py "${1:-1000000}" "${2:-3}"
