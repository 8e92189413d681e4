#!/usr/bin/env bash
# What storage_volumes costs above the bare minimum: a blank 100 GiB sparse device becomes a mounted xfs, once by the
# module, once by hand with `mkfs.xfs && mount`. Both are Ansible tasks on the same host through the same connection, in
# turns in one run of ansible-playbook; compared is the median of what a task took.
#
# To know when reading the figure:
# - By hand means by Ansible's shell task. Both sides therefore contain what any task costs (about half a second), which
#   flatters the ratio; the second figure, without a goal, is the same inside the host, without Ansible's share: there the
#   module's side has the start of Python and of Ansible's module library, the other side only a shell.
# - The module does more: it examines the device by blkid, wipefs and its first and last MiB, labels last, writes,
#   enables and starts a systemd unit. By hand, nothing survives a reboot and nothing is examined.
# - The module formats without discarding (mkfs.xfs -K), by hand mkfs discards, as is its default. On a sparse file a
#   discard is nearly free; on a cloud's volume it is not, so that this benchmark does not show the difference.
#
# Needs root, Docker, the virtual environment and the host image (IMAGING_REPOSITORY_HOST_IMAGE, default: the newest).
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7} goal=1.5
image=${IMAGING_REPOSITORY_HOST_IMAGE:-$(docker images --quiet imaging-repository-host | head -n 1)}
[ -n "$image" ] || { echo "storage: no host image; run bin/demo or bin/test first, or name one in IMAGING_REPOSITORY_HOST_IMAGE" >&2; exit 2; }

name=imaging-repository-benchmark-$$
directory=$(mktemp -d)
loop=
clean() {
  docker rm --force --volumes "$name" >"$directory/removed" 2>&1 || true
  [ -z "$loop" ] || losetup --detach "$loop"
  rm -rf "$directory"
}
trap clean EXIT
truncate --size 100G "$directory/data.img"
loop=$(losetup --find --show "$directory/data.img")
device=/dev/disk/by-id/imaging-repository-data
docker run --detach --quiet --name "$name" --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined \
  --security-opt apparmor=unconfined --tmpfs /run --tmpfs /run/lock --tmpfs /tmp -v /sys/fs/cgroup:/sys/fs/cgroup:rw \
  --device "$loop:$device" --stop-signal SIGRTMIN+3 "$image" >"$directory/started"
for _ in $(seq 60); do
  state=$(docker exec "$name" systemctl is-system-running || true)
  case $state in running|degraded) break ;; esac
  sleep 0.5
done 2>"$directory/boot"
docker exec "$name" sh -c 'command -v mkfs.xfs >/dev/null || { apt-get -q update && apt-get -qy --no-install-recommends install xfsprogs; }' >"$directory/apt"

cat >"$directory/reset" <<SCRIPT
systemctl disable --quiet --now srv-data.mount 2>/dev/null
umount --quiet /srv/data
rm -rf /etc/systemd/system/srv-data.mount /srv/data
systemctl daemon-reload
blkdiscard --force $device 2>/dev/null
SCRIPT
cat >"$directory/by-hand" <<SCRIPT
mkfs.xfs -q $device && mkdir -p /srv/data && mount $device /srv/data
SCRIPT
docker cp --quiet "$directory/reset" "$name:/reset"
docker cp --quiet "$directory/by-hand" "$name:/by-hand"

printf 'all: {hosts: {%s: {ansible_connection: community.docker.docker}}}\n' "$name" >"$directory/hosts.yml"
{
  printf -- '- hosts: all\n  gather_facts: false\n  tasks:\n'
  for _ in $(seq $((rounds + 1))); do
    cat <<TASKS
    - {name: reset, ansible.builtin.shell: sh /reset}
    - {name: by hand, ansible.builtin.shell: "$(cat "$directory/by-hand")"}
    - {name: reset, ansible.builtin.shell: sh /reset}
    - name: module
      imaging.repository.storage_volumes:
        volumes: [{name: data, device: $device, mount: /srv/data, gib: 100}]
TASKS
  done
} >"$directory/play.yml"
ANSIBLE_STDOUT_CALLBACK=ansible.posix.json .venv/bin/ansible-playbook --inventory "$directory/hosts.yml" \
  "$directory/play.yml" >"$directory/tasks.json" 2>"$directory/errors" ||
  { cat "$directory/errors" "$directory/tasks.json" >&2; exit 2; }

# Ansible's own payload, unpacked once, is what a task runs on the host.
ANSIBLE_KEEP_REMOTE_FILES=1 ANSIBLE_PIPELINING=0 .venv/bin/ansible all --inventory "$directory/hosts.yml" \
  --module-name imaging.repository.storage_volumes \
  --args "{\"volumes\": [{\"name\": \"data\", \"device\": \"$device\", \"mount\": \"/srv/data\", \"gib\": 100}]}" >"$directory/kept"
payload=$(docker exec "$name" sh -c 'ls /root/.ansible/tmp/*/AnsiballZ_storage_volumes.py')
inside() {
  docker exec "$name" sh /reset
  docker exec "$name" python3 -c '
import subprocess, sys, time
start = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.monotonic() - start)' "$@"
}
for _ in $(seq "$rounds"); do
  inside sh /by-hand >>"$directory/by-hand.seconds"
  inside python3 "$payload" >>"$directory/module.seconds"
done

.venv/bin/python - "$directory" "$goal" <<'PYTHON'
import json
import statistics
import sys
from datetime import datetime
from pathlib import Path

directory, goal = Path(sys.argv[1]), float(sys.argv[2])
seconds = {'by hand': [], 'module': []}
text = (directory / 'tasks.json').read_text()
for entry in json.loads(text[text.index('{'):])['plays'][0]['tasks']:
    task = entry['task']
    if task['name'] in seconds:
        start, end = (datetime.fromisoformat(task['duration'][key].rstrip('Z')) for key in ('start', 'end'))
        seconds[task['name']].append((end - start).total_seconds())
# The first round loads what the others find in memory.
hand, module = (statistics.median(seconds[side][1:]) for side in ('by hand', 'module'))
inside = {side: statistics.median(map(float, (directory / f'{side}.seconds').read_text().split())) for side in ('by-hand', 'module')}
print(f'as tasks: by hand {hand:.2f} s, module {module:.2f} s')
print(f"inside the host: by hand {inside['by-hand']:.2f} s, module {inside['module']:.2f} s, ratio {inside['module'] / inside['by-hand']:.2f}")
print(f'storage: {module / hand:.2f} (goal {goal})')
sys.exit(module / hand > goal)
PYTHON
