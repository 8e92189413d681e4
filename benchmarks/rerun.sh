#!/bin/bash
# How long the second run of a whole site takes, which changes nothing, as a share of the first; and how many tasks each
# host has. A busy machine slows both, so that the share says more than seconds.
# Deploys a site of its own from nothing and removes it again; packages come from the machine's package cache.
# usage: benchmarks/rerun.sh
# shellcheck source=bin/environment
. "$(dirname "$0")/../bin/environment"
become_root "$@"
make_environment requirements-test.txt
install_packages mmdebstrap
start_docker
samples/build
export ANSIBLE_STDOUT_CALLBACK=default
inventory=benchmarks/rerun/inventory
work=$(mktemp -d)
remove() { ansible-playbook -i $inventory molecule/destroy.yml >"$work/destroy.log" 2>&1; }
trap 'remove; rm -rf "$work"' EXIT
remove

for run in first second; do
  started=$(date +%s)
  ansible-playbook -i $inventory playbooks/site.yml >"$work/$run.log" 2>&1 || { tail -n 40 "$work/$run.log"; exit 2; }
  echo $(($(date +%s) - started)) >"$work/$run.seconds"
done

python3 - "$work" <<'REPORT'
import re, sys
from pathlib import Path

work = Path(sys.argv[1])
seconds, counts = {}, {}
for run in ("first", "second"):
    seconds[run] = int((work / f"{run}.seconds").read_text())
    recap = (work / f"{run}.log").read_text().split("PLAY RECAP")[1]
    counts[run] = {line.split()[0]: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}
                   for line in recap.splitlines() if ":" in line}
print(f"{'host':28} {'first: tasks':>13} {'changed':>8} {'second: tasks':>14} {'changed':>8}")
for host, first in counts["first"].items():
    second = counts["second"][host]
    print(f"{host:28} {first['ok'] + first['skipped']:13} {first['changed']:8} "
          f"{second['ok'] + second['skipped']:14} {second['changed']:8}")
print(f"{'seconds':28} {seconds['first']:13} {'':8} {seconds['second']:14}")
tasks = max(count["ok"] + count["skipped"] for count in counts["second"].values())
changed = sum(count["changed"] for count in counts["second"].values())
print(f"first {seconds['first']} s, second {seconds['second']} s (40 s on two quiet cores is the aim)")
figures = [("rerun_ratio", round(seconds["second"] / seconds["first"], 2), 0.2),
           ("rerun_tasks_per_host", tasks, 60), ("rerun_changed", changed, 0)]
for name, figure, goal in figures:
    print(f"{name}: {figure} (goal {goal})")
sys.exit(any(figure > goal for _name, figure, goal in figures))
REPORT
