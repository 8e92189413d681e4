# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What must fit together in a whole site. Checks of one feature stand in its own meta/checks.py."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import derive, network
from .feature import Check, Group
from .fields import Field, example, find, nearest_of, one_of, show, value_at
from .reader import Reader

if TYPE_CHECKING:
    from .schema import Schema

Site = Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """What a check asks and where it reports."""

    schema: Schema
    reader: Reader

    def problem(self, path: str, text: str) -> None:
        """Report `path: text`; the text says what is wrong and, after a semicolon, what to do."""
        self.reader.report(path, text)

    def misspelt(self, path: str) -> bool:
        """Return whether the file probably means this path with another one, which is reported already."""
        return path in self.reader.misspelt

    def entries(self, site: Site) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the path and content of each host entry that is not left out."""
        for entry in site["hosts"]:
            if not entry.get("absent"):
                yield self.reader.place("site.hosts", entry["name"]), entry

    def hosts_in(self, site: Site, group: str) -> list[str]:
        """Return the names of the hosts in a group."""
        return [
            name
            for _path, entry in self.entries(site)
            if any(self.schema.is_in(own, group) for own in entry.get("groups", []))
            for name in host_names(entry)
        ]

    def names(self, entry: Site) -> list[str]:
        """Return the names of the hosts that an entry makes."""
        return host_names(entry)

    def host_names(self, site: Site) -> list[str]:
        """Return the names of all hosts."""
        return [name for _path, entry in self.entries(site) for name in host_names(entry)]

    def one_of(self, word: str, choices: list[str]) -> str:
        """Return the remedy for a name that does not exist."""
        return one_of(word, choices) if choices else "remove it"


def check(schema: Schema, site: Site, sound: Site, lent: Site, reader: Reader) -> None:
    """Report what is missing, useless or does not fit in a filled site; `sound` is read from its file."""
    if "provider" not in reader.spoiled:
        _find_missing(schema.site, site, site["provider"], "site", reader, lent)
        _find_useless(schema.site.keys["hosts"], sound.get("hosts", []), site["provider"], "site.hosts", reader)
    report = Report(schema, reader)
    for function, keys in CHECKS:
        if not reader.spoiled.intersection(keys):
            function(site, report)
    for feature in schema.features:
        for own_check, keys in feature.checks:
            active = not feature.provider or feature.provider.name == site["provider"]
            if active and not reader.spoiled.intersection({"provider", *keys}):
                _run(own_check, site, report, feature.file.replace("feature.yml", "checks.py"))
    if not reader.spoiled.intersection(ADDRESS_KEYS):
        _check_addresses(site, report)
    _check_absent(sound, lent, "site", "hosts", reader)


def _run(own_check: Check, site: Site, report: Report, file: str) -> None:
    """Run a check of a feature; one that fails is a problem of the feature, and not the end."""
    try:
        own_check(site, report)
    except Exception as error:
        words = " ".join(f"{type(error).__name__} {error}".split())
        report.problem(file, f"its check {own_check.__name__} fails: {words}; correct the file")


def _find_missing(field: Field, value: Site, provider: str, path: str, reader: Reader, lent: Site) -> None:
    """Refuse the absence of required keys in a filled site; `lent` is the sound base, for names."""
    for key, inner in field.keys.items():
        here = f"{path}.{key}"
        if provider not in inner.providers or here in reader.refused or here in reader.misspelt:
            continue
        if inner.kind == "mapping":
            _find_missing(inner, value[key], provider, here, reader, lent)
        elif inner.named:
            for entry in value[key]:
                if not entry.get("absent"):
                    _find_missing(inner.entry, entry, provider, reader.place(here, entry["name"]), reader, lent)
        elif value.get(key) in (None, []) and provider in inner.required:
            # Its entries were refused one by one: it is not missing.
            if any(refused.startswith(f"{here}[") for refused in reader.refused):
                continue
            reader.refuse(here, key, f"is missing; write {example(inner)}{_meant_host(key, value, lent)}")


def _find_useless(field: Field, entries: list[dict[str, Any]], provider: str, path: str, reader: Reader) -> None:
    """Report keys of hosts and volumes that the provider does not know; they would be ignored in silence."""
    for entry in entries:
        place = reader.place(path, entry["name"])
        for key, value in entry.items():
            inner = field.entry.keys[key]
            if provider not in inner.providers:
                known = " and ".join(inner.providers)
                reader.report(f"{place}.{key}", f"means nothing to provider {provider}, only to {known}; remove it")
            elif inner.named:
                _find_useless(inner, value, provider, f"{place}.{key}", reader)


def _meant_host(key: str, value: Site, lent: Site) -> str:
    """Return the question whether a new host without groups is a misspelt one of the base."""
    names = [host["name"] for host in lent.get("hosts", [])]
    nearest = nearest_of(value["name"], names) if key == "groups" and value["name"] not in names else None
    return f", or did you mean the host {nearest}?" if nearest else ""


def _check_absent(above: Site, below: Site, path: str, key: str, reader: Reader) -> None:
    """Refuse to leave out a host or volume that the base does not have: its name is misspelt."""
    lent = {entry["name"]: entry for entry in below.get(key, [])}
    for entry in above.get(key, []):
        place = reader.place(f"{path}.{key}", entry["name"])
        if entry.get("absent") and entry["name"] not in lent:
            remedy = one_of(entry["name"], lent) if lent else "remove the entry"
            reader.report(f"{place}.absent", f"the base has no {entry['name']} to leave out; {remedy}")
        elif key == "hosts" and not entry.get("absent"):
            _check_absent(entry, lent.get(entry["name"], {}), place, "volumes", reader)


def host_names(entry: Site) -> list[str]:
    """Return the names of the hosts that an entry makes."""
    if "count" not in entry:
        return [entry["name"]]
    return [f"{entry['name']}{number + 1}" for number in range(entry["count"])]


def _check_names(site: Site, report: Report) -> None:
    owners: dict[str, str] = {}
    for path, entry in report.entries(site):
        for name in host_names(entry):
            if name in owners:
                report.problem(f"{path}.name", f"{owners[name]} makes a host {name} too; write another name")
            owners.setdefault(name, entry["name"])


def _needs(schema: Schema, group: Group, active: set[str]) -> list[str]:
    """Return what a group needs, with what the features that are on add."""
    lent = (
        need
        for feature in schema.features
        if feature.name in active and group.name in feature.extends
        for need in feature.extends[group.name].needs
    )
    return list(dict.fromkeys((*group.needs, *lent)))


def _wanted_groups(schema: Schema, needs: Mapping[str, list[str]], members: Mapping[str, list[str]]) -> set[str]:
    """Return the groups that must have hosts: those of visitors, those that hosts need, and so on.

    A group that takes exactly one host must have it, unless all that could need it is off.
    """
    needed = {need for group in schema.groups.values() for need in group.needs}
    needed |= {need for feature in schema.features for lent in feature.extends.values() for need in lent.needs}
    wanted = {name for name, group in schema.groups.items() if group.public or members[name]}
    wanted |= {name for name, group in schema.groups.items() if group.exactly_one and name not in needed}
    left = list(wanted)
    while left:
        more = [need for need in needs.get(left.pop(), []) if need not in wanted]
        wanted.update(more)
        left += more
    return wanted


def _check_groups(site: Site, report: Report) -> None:
    schema = report.schema
    members = {name: report.hosts_in(site, name) for name in schema.groups}
    active = {feature.name for feature in derive.features_on(schema, site)}
    needs = {name: _needs(schema, group, active) for name, group in schema.groups.items()}
    wanted = _wanted_groups(schema, needs, members)
    for name, group in schema.groups.items():
        hosts = members[name]
        missing = [need for need in needs[name] if not members[need] and not schema.groups[need].exactly_one]
        if group.exactly_one and not hosts and name in wanted:
            text = f"no host is in the group {name}; add groups: [{name}] to one host"
        elif group.at_most_one and len(hosts) > 1:
            text = f"{', '.join(hosts)} are in the group {name}, which takes one host; leave one in it"
        elif hosts and missing:
            need = missing[0]
            text = f"the group {name} ({', '.join(hosts)}) needs a host in {need}; add groups: [{need}] to one"
        else:
            continue
        report.problem("site.hosts", text)


def _check_public_host(site: Site, report: Report) -> None:
    groups = [name for name, group in report.schema.groups.items() if group.public]
    if not groups:
        return
    public = [(path, entry) for path, entry in report.entries(site) if entry["public"]]
    names = [name for _path, entry in public for name in host_names(entry)]
    if not names:
        report.problem("site.hosts", f"no host is public; add public: true to the host of the group {groups[0]}")
    elif len(names) > 1:
        report.problem("site.hosts", f"{', '.join(names)} are public; leave one of them public")
    elif not set(groups).intersection(public[0][1].get("groups", [])):
        text = f"the host is not in the group {groups[0]}, so nothing answers there; add {groups[0]} to groups"
        report.problem(f"{public[0][0]}.public", text)


def _check_volumes(site: Site, report: Report) -> None:
    for path, entry in report.entries(site):
        for key in ("mount", "device"):
            owners: dict[str, str] = {}
            for volume in entry["volumes"]:
                if key not in volume or volume.get("absent"):
                    continue
                if volume[key] in owners:
                    text = f"{show(volume[key])} is the {key} of volume {owners[volume[key]]} too; write another one"
                    report.problem(f"{report.reader.place(f'{path}.volumes', volume['name'])}.{key}", text)
                owners.setdefault(volume[key], volume["name"])
        for volume in entry["volumes"]:
            if "from" in volume and "wipe_signature" in volume and not volume.get("absent"):
                place = f"{report.reader.place(f'{path}.volumes', volume['name'])}.wipe_signature"
                text = f"would overwrite what is copied from {show(volume['from'])}; remove one of them"
                report.problem(place, text)


def _check_ports(site: Site, report: Report) -> None:
    public = site["public"]
    if public["http_port"] == public["https_port"]:
        report.problem("site.public.http_port", f"{public['http_port']} is also the https_port; write another port")
    provider = report.schema.providers[site["provider"]]
    used = {port["port"]: port["description"] for port in reversed(derive.site_ports(report.schema, site))}
    for key in ("https_port", "http_port"):
        # What publishes ports keeps those of its hosts apart; a server's service would find this one in use.
        if not provider.publishes and public[key] in used:
            text = f"{public[key]} is taken by {used[public[key]]}; write another port"
            report.problem(f"site.public.{key}", text)


def _check_clashes(site: Site, report: Report) -> None:
    """Refuse two features on one host that use one port."""
    ports = derive.site_ports(report.schema, site)
    for path, entry in report.entries(site):
        names = [feature.name for feature in derive.host_features(report.schema, site, entry)]
        owners: dict[tuple[int, str], str] = {}
        for port in (port for port in ports if port["feature"] in names):
            owner = owners.setdefault((port["port"], port["protocol"]), port["description"])
            if owner != port["description"]:
                text = f"port {port['port']} is that of {owner} and of {port['description']}; put them on two hosts"
                report.problem(f"{path}.groups", text)


def _check_companions(site: Site, report: Report) -> None:
    """Check keys that go with the value of one beside them."""
    for path, field in _with_companions(report.schema.site, "site"):
        values = value_at({"site": site}, path)
        if not isinstance(values, Mapping):
            continue
        for key, inner in field.keys.items():
            here = f"{path}.{key}"
            spoiled = report.reader.spoiled.intersection({key, *inner.only_with})
            for other, value in inner.only_with.items():
                found = values.get(other)
                if spoiled or report.misspelt(here):
                    continue
                if found == value and key not in values:
                    text = f"is missing although {other} is {value}; write {example(inner)}"
                elif found != value and key in values:
                    text = f"is given although {other} is {found}; write {other}: {value}, or remove it"
                else:
                    continue
                report.problem(here, text)


def _with_companions(field: Field, path: str) -> Iterator[tuple[str, Field]]:
    """Yield each mapping that has such keys."""
    if any(inner.only_with for inner in field.keys.values()):
        yield path, field
    for key, inner in field.keys.items():
        if inner.kind == "mapping":
            yield from _with_companions(inner, f"{path}.{key}")


def _check_network(site: Site, report: Report) -> None:
    """Refuse a network in which the hosts do not find their addresses."""
    provider, cidr = report.schema.providers[site["provider"]], network.site_network(site)
    if not provider.makes or cidr is None or network.existing_network(site):
        return
    path = f"site.{provider.name}.network.cidr"
    own = ipaddress.IPv4Network(cidr)
    if own.prefixlen > 24:
        wide = own.supernet(new_prefix=24)
        report.problem(path, f"'{own}' is too small for the hosts; write {wide}")
        return
    if not own.is_private:
        usual = find(report.schema.site, f"{provider.name}.network.cidr")
        report.problem(path, f"'{own}' is not a private network; write {usual.default if usual else 'another one'}")
    for position, entry in enumerate(site["hosts"]):
        path = report.reader.place("site.hosts", entry["name"])
        count = entry.get("count", 1)
        fitting = sum(
            network.chosen_address(cidr, position, replica) is not None
            for replica in range(network.ADDRESSES_PER_ENTRY)
        )
        if position >= network.ENTRIES:
            text = f"is entry {position + 1}, the network has addresses for {network.ENTRIES}; use count, or fewer"
            report.problem(path, text)
        elif not entry.get("absent") and count > fitting:
            text = f"{count} is more than an entry has addresses for; write {fitting} or less"
            report.problem(f"{path}.count", text)


def _check_addresses(site: Site, report: Report) -> None:
    """Refuse addresses that two hosts share or that the site's network does not have."""
    cidr = network.site_network(site)
    if cidr is None:
        return
    provider, own = report.schema.providers[site["provider"]], ipaddress.IPv4Network(cidr)
    # The network's own: its name and gateway, on a cloud also its DHCP servers, and the broadcast.
    first = 0 if network.existing_network(site) else provider.reserved_addresses
    taken = {*itertools.islice(own, first), own[-1]} if first else set()
    paths = {name: path for path, entry in report.entries(site) for name in host_names(entry)}
    owners: dict[str, str] = {}
    for host in network.expand(report.schema, dict(site))["hosts"]:
        key = "private_address" if "private_address" in host else "address"
        if key not in host:
            continue
        address = ipaddress.IPv4Address(host[key])
        path = f"{paths[host['name']]}.{key}"
        if host[key] in owners:
            report.problem(path, f"'{address}' is the address of {owners[host[key]]} too; write another one")
        elif address not in own and not provider.makes and key == "address":
            report.problem(path, f"'{address}' is not in the site's network {own}; add the private_address there")
        elif address not in own:
            report.problem(path, f"'{address}' is not in the site's network {own}; write an address in it")
        elif address in taken:
            report.problem(path, f"'{address}' belongs to the network itself; write another one")
        owners.setdefault(host[key], host["name"])


ADDRESS_KEYS = frozenset({"provider", "hosts", "absent", "count", "cidr", "address", "private_address"})
# Each check with the keys whose values it needs: where one of them was refused, it has nothing to say.
CHECKS: tuple[tuple[Callable[[Site, Report], None], frozenset[str]], ...] = (
    (_check_names, frozenset({"hosts", "count", "absent"})),
    (_check_groups, frozenset({"hosts", "groups", "count", "absent"})),
    (_check_public_host, frozenset({"hosts", "groups", "count", "absent", "public"})),
    (_check_volumes, frozenset({"absent"})),
    (_check_ports, frozenset({"provider", "https_port", "http_port"})),
    (_check_clashes, frozenset({"provider", "hosts", "groups", "absent"})),
    (_check_companions, frozenset({"provider"})),
    (_check_network, frozenset({"provider", "hosts", "cidr"})),
)
