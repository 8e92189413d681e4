#!/bin/bash
# How long the second run of a whole site takes, which changes nothing, as a share of the first; and how many modules run
# on each host: what Ansible does on the controller alone costs a tenth of that. A busy machine slows both runs, so that the
# share says more than seconds.
# Deploys a site of its own from nothing and removes it again; packages come from the machine's package cache.
# usage: benchmarks/rerun.sh
# shellcheck source=bin/environment
. "$(dirname "$0")/../bin/environment"
become_root "$@"
make_environment requirements-test.txt
install_packages mmdebstrap
start_docker
samples/build
export ANSIBLE_STDOUT_CALLBACK=ansible.posix.json
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
import json, sys
from collections import Counter
from pathlib import Path

work = Path(sys.argv[1])
ON_THE_CONTROLLER = {"assert", "debug", "fail", "group_by", "include_role", "include_tasks", "set_fact", "validate_argument_spec"}
seconds, modules, changed = {}, {}, {}
for run in ("first", "second"):
    seconds[run] = int((work / f"{run}.seconds").read_text())
    log = (work / f"{run}.log").read_text()
    # Lines of progress come before the document.
    document = json.loads(log[log.index("\n{\n" if not log.startswith("{") else "{"):])
    modules[run] = Counter(
        host
        for play in document["plays"] for task in play["tasks"] for host, result in task["hosts"].items()
        if not result.get("skipped") and result["action"].removeprefix("ansible.builtin.") not in ON_THE_CONTROLLER
    )
    changed[run] = {host: counts["changed"] for host, counts in document["stats"].items()}
print(f"{'host':28} {'first: modules':>15} {'changed':>8} {'second: modules':>16} {'changed':>8}")
for host in changed["first"]:
    print(f"{host:28} {modules['first'][host]:15} {changed['first'][host]:8} "
          f"{modules['second'][host]:16} {changed['second'][host]:8}")
print(f"{'seconds':28} {seconds['first']:15} {'':8} {seconds['second']:16}")
print(f"first {seconds['first']} s, second {seconds['second']} s (40 s on two quiet cores is the aim)")
figures = [("rerun_ratio", round(seconds["second"] / seconds["first"], 2), 0.2),
           ("rerun_modules_per_host", max(modules["second"].values()), 60),
           ("rerun_changed", sum(changed["second"].values()), 0)]
for name, figure, goal in figures:
    print(f"{name}: {figure} (goal {goal})")
sys.exit(any(figure > goal for _name, figure, goal in figures))
REPORT
