#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: openstack_address
short_description: Moves the public address of a site in an OpenStack cloud to its public host, or back
version_added: 0.1.0
description:
  - Moves the floating IP C(site.public.address) to the public host of the site. Who held it gets the address that this
    host had, because a server is reached through its address.
  - Where the address came from is noted in the metadata C(imaging_repository_switch) of the public host, so that a run
    that was cut can be finished, or the exchange reversed with O(back=true), by anybody and from any machine.
  - The cloud itself compares, so that an address which has moved since it was looked at stays where it is. What fails
    half-way is put back.
  - The mark of an address that a site allocated follows its holder.
options:
  site:
    description: The effective site, as the inventory gives it.
    type: dict
    required: true
  source:
    description:
      - Name of the site that must hold the address now. Left out, it may be any site.
      - A server that belongs to no site is only taken from where it is named here.
    type: str
    default: ""
  back:
    description: Moves the address back to where the note says that it came from.
    type: bool
    default: false
  seen:
    description:
      - What an earlier call in check mode returned as RV(seen). Where the address is elsewhere by now, nothing is moved.
    type: str
attributes:
  check_mode:
    description: Reads only; returns the plan.
    support: full
  diff_mode:
    description: Shows the plan, a line an address.
    support: full
requirements:
  - openstacksdk >= 4.5
author:
  - The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Look who holds the address
  imaging.repository.openstack_address:
    site: "{{ effective_site }}"
    source: idr127
  check_mode: true
  register: planned

- name: Move the address
  imaging.repository.openstack_address:
    site: "{{ effective_site }}"
    seen: "{{ planned.seen }}"
"""

RETURN = r"""
address:
  description: The public address.
  returned: success
  type: str
plan:
  description: One step an address.
  returned: success
  type: list
  elements: dict
  contains:
    kind: {description: Always address., type: str}
    name: {description: The address., type: str}
    action: {description: keep or change., type: str}
    detail: {description: Who holds it and who gets it., type: str}
table:
  description: The plan for people.
  returned: success
  type: str
holder:
  description: Who holds the address when the module ends.
  returned: success
  type: str
  sample: idr127-proxy (site idr127)
target:
  description: The public host of the site.
  returned: success
  type: str
  sample: idr128-proxy
own_address:
  description: The address by which the public host of the site is reached before the switch, or nothing.
  returned: success
  type: str
seen:
  description: Where the address was when the module began, for O(seen) of a later call.
  returned: success
  type: str
interrupted:
  description: Whether an exchange was cut and left the public host without an address; O(back=true) gives it back.
  returned: success
  type: bool
"""

import json

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.imaging.repository.plugins.module_utils.openstack import exchange
from ansible_collections.imaging.repository.plugins.module_utils.openstack.cloud import HAS_OPENSTACK, Cloud, CloudError
from ansible_collections.imaging.repository.plugins.module_utils.openstack.wanted import HOST, SITE
from ansible_collections.imaging.repository.plugins.module_utils.plan import table, writes

AGAIN = "Run switch.yml again, with -e back=true to restore what was"
# The cloud's own agents change an address too, right after it was moved.
TRIES = 5


def public_host(site: dict) -> str:
    """Return the short name of the public host."""
    return next(host["name"] for host in site["hosts"] if host["public"])


def find(cloud: Cloud, site: dict) -> dict:
    """Return what is there; the shape is that of module_utils/openstack/exchange.py, with the id of each address."""
    listed = cloud.find(["server", "port", "address"])
    servers = {server["id"]: server for server in listed["server"]}
    target_server = next(
        (
            server["id"]
            for server in servers.values()
            if (server["metadata"].get(SITE), server["metadata"].get(HOST)) == (site["name"], public_host(site))
        ),
        "",
    )
    # A server has one port here; where somebody added more, that of its name is the site's.
    own_ports = sorted(
        (port for port in listed["port"] if target_server and port["device_id"] == target_server),
        key=lambda port: port["name"] != f"{site['name']}-{public_host(site)}",
    )
    ports = {}
    for port in listed["port"]:
        server = servers.get(port["device_id"], {})
        ports[port["id"]] = {
            "server": server.get("name") or port["name"] or f"port {port['id']}",
            "site": server.get("metadata", {}).get(SITE, ""),
        }
    try:
        note = json.loads(servers.get(target_server, {}).get("metadata", {}).get(exchange.NOTE_KEY, "{}"))
    except ValueError:
        # Somebody edited it: as good as none.
        note = {}
    return {
        "addresses": {
            entry["floating_ip_address"]: {
                "id": entry["id"],
                "port": entry["port_id"] or "",
                "mark": entry["description"] or "",
            }
            for entry in listed["address"]
        },
        "ports": ports,
        "target": own_ports[0]["id"] if own_ports else "",
        "server": target_server,
        "note": note if isinstance(note, dict) else {},
    }


def write_note(cloud: Cloud, server: str, note: dict) -> None:
    """Keep beside the site's server where the address came from; other metadata stay."""
    text = json.dumps(note, separators=(",", ":"))
    # May be repeated: the same key gets the same text.
    cloud.post("compute", f"/servers/{server}/metadata", {"metadata": {exchange.NOTE_KEY: text}}, lambda: None)


def move(cloud: Cloud, address: str, identifier: str, before: str, after: str, mark: str) -> None:
    """Move one address from a port to another one, "" for none, in one call that the cloud compares.

    See Floating IPs and Revisions in the networking API reference: If-Match makes the call fail with 412 where the
    address has changed since it was read.
    """
    for _try in range(TRIES):
        now = cloud.get("network", f"/floatingips/{identifier}")["floatingip"]
        holder = now["port_id"] or ""
        if holder == after and now["description"] == mark:
            return
        if holder not in (before, after):
            raise exchange.Refused(f"{address} was moved by somebody else at this moment, to port {holder or 'none'}")
        try:
            cloud.update(
                "address", identifier, {"port_id": after or None, "description": mark}, revision=now["revision_number"]
            )
            return
        except CloudError as error:
            if error.status != 412:
                raise
    raise CloudError(f"{address} changes all the time, so it was not moved; look who else is at work on it")


def carry_out(cloud: Cloud, found: dict, wanted: dict[str, str], marks: dict[str, str]) -> None:
    """Write; `found` follows, so that it tells how far this came."""
    for address, port in exchange.writes(wanted, found["addresses"]):
        entry = found["addresses"][address]
        mark = marks[address] if port else entry["mark"]
        move(cloud, address, entry["id"], entry["port"], port, mark)
        entry["port"], entry["mark"] = port, mark


def put_back(cloud: Cloud, site: dict, found: dict, wanted: dict[str, str], before: dict) -> str:
    """Restore who held what after a failure; return the sentences that tell how it went.

    ``found`` tells how far carry_out() came. An address that somebody else has moved meanwhile stays with them.
    """
    errors = []
    try:
        now = find(cloud, site)["addresses"]
    except CloudError as error:
        return f"What had been moved could not be put back: {error}. {AGAIN}"
    ours = {
        address: {before[address]["port"], found["addresses"][address]["port"], wanted[address], ""}
        for address in wanted
    }
    original = {address: before[address]["port"] for address in wanted if now[address]["port"] in ours[address]}
    for address, port in exchange.writes(original, now):
        try:
            move(cloud, address, now[address]["id"], now[address]["port"], port, before[address]["mark"])
            now[address]["port"] = port
        except (CloudError, exchange.Refused) as error:
            errors.append(f"{address} could not be put back: {error}")
    return ". ".join([*errors, AGAIN]) if errors else "What had been moved is where it was"


def run(module: AnsibleModule) -> dict:
    """List, plan, and write unless in check mode."""
    site = module.params["site"]
    address = site["public"].get("address")
    if not address:
        raise exchange.Refused("site.public.address: is missing; write the address that visitors use")
    cloud = Cloud(site["openstack"]["cloud"])
    found = find(cloud, site)
    before = {name: dict(entry) for name, entry in found["addresses"].items()}
    result = exchange.plan(address, module.params["source"], module.params["back"], found)
    seen = before[address]["port"]
    if module.params["seen"] is not None and module.params["seen"] != seen:
        raise exchange.Refused(
            f"{address} is not where the plan saw it: {exchange.holder(found, seen)} holds it now; "
            "nothing was moved. Run this again to see the new plan"
        )
    changed = writes(result["steps"])
    if changed and not module.check_mode:
        if result["note"] and result["note"] != found["note"]:
            write_note(cloud, found["server"], result["note"])
        try:
            carry_out(cloud, found, result["wanted"], exchange.marks(result["wanted"], found))
        except (CloudError, exchange.Refused) as error:
            raise exchange.Refused(f"{error}. {put_back(cloud, site, found, result['wanted'], before)}") from None
    answer = {
        "changed": changed,
        "address": address,
        "plan": result["steps"],
        "table": table(result["steps"]),
        "holder": exchange.holder(found, found["addresses"][address]["port"]),
        "seen": seen,
        "target": f"{site['name']}-{public_host(site)}",
        "own_address": result["own_address"],
        "interrupted": result["interrupted"],
    }
    if changed:
        answer["diff"] = {"before": "", "after": answer["table"], "before_header": "now", "after_header": "plan"}
    return answer


def main() -> None:
    """Entry point; see DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "source": {"type": "str", "default": ""},
            "back": {"type": "bool", "default": False},
            "seen": {"type": "str"},
        },
        supports_check_mode=True,
    )
    if not HAS_OPENSTACK:
        module.fail_json(msg=missing_required_lib("openstacksdk"))
    try:
        result = run(module)
    except (CloudError, exchange.Refused) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
