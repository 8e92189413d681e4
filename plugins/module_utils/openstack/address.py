# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which public address a host gets. One that is at another port is never taken: only switch.yml moves those."""

from __future__ import annotations

from ..plan import Step, step
from .found import external_networks, holder, is_ours, match
from .shapes import Found, Host, Resource, Want


def choose_address(host: Host, want: Want, found: Found) -> tuple[str, Resource | None, str]:
    """Return the floating IP of a host that is reached from outside: ``(action, floating IP or None, reason)``.

    Actions are ``keep`` (it has one), ``associate``, ``allocate`` (a new one), ``none`` (it goes without) and
    ``refuse``. An address that is at another port is never taken: only switch.yml moves those.
    """
    outside = host["outside"] or {"path": host["path"], "address": None}
    named, path = outside["address"], outside["path"]
    port, _refusal = match("port", host["name"], want, found)
    here = next((entry for entry in found["address"] if port and entry["port_id"] == port["id"]), None)
    chosen = next((entry for entry in found["address"] if named and entry["floating_ip_address"] == named), None)
    outside_networks = external_networks(want, found)

    def leads_here(entry: Resource) -> bool:
        return not outside_networks or entry["floating_network_id"] in outside_networks

    taken = ""
    if named and chosen is None:
        return (
            "refuse",
            None,
            (
                f"{path}: {named} is no floating IP of this project in cloud {want['cloud']}; write "
                f"one that it has{_free(want, found)}, or set site.openstack.new_address: true"
            ),
        )
    if chosen and chosen is not here and not leads_here(chosen):
        return (
            "refuse",
            None,
            (
                f"{path}: {named} is of another network than {want['external']}, to which the router of the site leads; "
                f"write a floating IP of that network{_free(want, found)}, or name the other one in "
                "site.openstack.network.external"
            ),
        )
    if chosen and chosen["port_id"] and chosen is not here:
        taken = f"{named} stays at {holder(chosen, found)}; playbooks/switch.yml moves it"
    if here and (chosen is None or chosen is here or taken):
        return "keep", here, taken
    if chosen and not taken:
        return "associate", chosen, ""
    if want["new_address"]:
        spare = [
            entry
            for entry in found["address"]
            if is_ours("address", entry, want, found.project) and not entry["port_id"] and leads_here(entry)
        ]
        return ("associate", spare[0], taken) if spare else ("allocate", None, taken)
    if taken and not host["bastion"]:
        return "none", None, taken
    if taken:
        return (
            "refuse",
            None,
            (
                f"{path}: {taken}; until then this site needs one of its own, or nobody reaches its "
                "bastion: set site.openstack.new_address: true"
            ),
        )
    return (
        "refuse",
        None,
        (
            f"{path}: is missing; write a floating IP of the project{_free(want, found)}, or set "
            "site.openstack.new_address: true to have one allocated"
        ),
    )


def _free(want: Want, found: Found) -> str:
    external = external_networks(want, found)
    free = sorted(
        entry["floating_ip_address"]
        for entry in found["address"]
        if not entry["port_id"] and entry["floating_network_id"] in external
    )
    return f" (free: {', '.join(free)})" if free else " (none is free)"


def plan_address(host: Host, want: Want, found: Found) -> Step:
    action, address, reason = choose_address(host, want, found)
    text = address["floating_ip_address"] if address else ""
    if action == "refuse":
        return step("address", host["name"], "refuse", reason)
    if action == "none":
        return step("address", host["name"], "keep", f"none: {reason}")
    if action == "keep":
        return step("address", host["name"], "keep", "; ".join(filter(None, (text, reason))))
    if action == "allocate":
        return step(
            "address", host["name"], "create", "; ".join(filter(None, (f"a new one of {want['external']}", reason)))
        )
    return step("address", host["name"], "change", "; ".join(filter(None, (text, reason))))
