#!/bin/bash
# Servers, volumes and attachments on a real OpenStack control plane: openstack_site against the ordinary playbook, which
# loops openstack.cloud.server, volume and server_volume. Both sides in turns in one run: create, then run again without
# a change; then openstack_site alone with 5, 40 and 80 hosts, to show how it grows.
# usage: benchmarks/provision.sh [hosts, default 20]   (about 20 minutes for 20)
#
# To know when reading the figures:
# - Compared is what the tasks take: three loops against one task. Both sides also pay the start of Ansible, ours that of
#   an inventory that reads the cloud; the ratio of the whole commands is printed too.
# - openstack_site does more: it makes the network, router, security groups, key pair and ports too. The ordinary side
#   gets its network beforehand, unmeasured.
# - The control plane runs on this machine and its hypervisor is nova's fake one: the times are those of the API, not of
#   machines that boot.
# - openstack.cloud 2.5 does not work with the openstacksdk of this project; its modules run with 4.5.
# shellcheck source=bin/environment
. "$(dirname "$0")/../bin/environment"
become_root "$@"
make_environment requirements-test.txt
start_docker
tests/cloud/up embassy
export OS_CLIENT_CONFIG_FILE=$repository/.cache/cloud/clouds.yaml
older=.cache/benchmarks/openstack-cloud
if [ ! -x $older/bin/python ]; then
  python3 -m venv $older
  $older/bin/python -m pip install --quiet --disable-pip-version-check 'openstacksdk==4.5.0'
fi
.venv/bin/python benchmarks/provision/compare.py "${1:-20}" "$repository/$older/bin/python"
