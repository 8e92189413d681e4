# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The site file: what may stand in it, what it means, and what is wrong with one.

`SITE` is the one table of all keys. The checks, the JSON Schema for editors and docs/site-file.md are derived
from it. Nothing here imports Ansible or reads a file, and nothing raises, whatever YAML can hold.
"""

from __future__ import annotations

import datetime
import difflib
import ipaddress
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

PROVIDERS = ("docker", "openstack", "static")


@dataclass(frozen=True)
class Listen:
    """A TCP port on which hosts of a group answer hosts of other groups."""

    port: int
    sources: tuple[str, ...]
    # Only with this kind of share; "" with each.
    share: str = ""


@dataclass(frozen=True)
class Group:
    """What hosts of a group are for, what the group needs to work, and who reaches it at which port.

    What everybody may reach, and SSH, are not here: see firewall().
    """

    description: str
    parent: str = "site"
    needs: tuple[str, ...] = ()
    exactly_one: bool = False
    takes_hosts: bool = True
    listens: tuple[Listen, ...] = ()


GROUPS: dict[str, Group] = {
    "database": Group(
        "PostgreSQL, the index of all images.",
        exactly_one=True,
        listens=(Listen(5432, ("image_server_primary", "image_server_replica")),),
    ),
    "image_server": Group("All image servers.", takes_hosts=False),
    "image_server_primary": Group(
        "The image server that writes: images are loaded here, its data volume holds the pixels.",
        parent="image_server",
        needs=("database",),
        exactly_one=True,
        listens=(
            Listen(22, ("image_server_replica",), share="sshfs"),
            Listen(2049, ("image_server_replica",), share="nfs"),
        ),
    ),
    "image_server_replica": Group(
        "Read-only image servers that answer the public; the more, the more visitors.",
        parent="image_server",
        needs=("image_server_primary",),
        listens=(Listen(8042, ("cache",)),),
    ),
    "cache": Group("nginx: TLS, the cache and the public gallery.", needs=("image_server_replica",)),
    "bastion": Group("The one host that operators reach by SSH from outside; the others are reached through it."),
}


@dataclass(frozen=True)
class Field:
    """One key of the site file.

    `kind` names a reader in READERS, or is "mapping" (of `keys`) or "list" (of `item`). A list of mappings with a
    name is merged by name. `default` is a value, or one per provider with "" for the others.
    """

    kind: str
    description: str
    example: Any = None
    default: Any = None
    required: tuple[str, ...] = ()
    providers: tuple[str, ...] = PROVIDERS
    # True where a base of another provider must not lend its value: a cloud does not want the sizes of the demo.
    own: bool = False
    unit: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    item: Field | None = None
    keys: Mapping[str, Field] = dataclass_field(default_factory=dict)

    @property
    def named(self) -> bool:
        """Whether this is a list whose entries are known by their name."""
        return self.item is not None and "name" in self.item.keys

    def default_for(self, provider: str) -> Any:
        """The value that holds when the file says nothing, or None."""
        if isinstance(self.default, dict):
            return self.default.get(provider, self.default.get(""))
        return self.default


VOLUME = Field(
    "mapping",
    "A volume: block storage that outlives its host.",
    keys={
        "name": Field(
            "label", "Name of the volume, unique on its host.", example="data", required=PROVIDERS, maximum=24
        ),
        "gib": Field(
            "integer",
            "Size. Enlarge it to grow the file system at the next run; it never shrinks. "
            "For `static` servers it is only what the device must at least hold.",
            example=800,
            required=("docker", "openstack"),
            own=True,
            unit="GiB",
            minimum=1,
            maximum=65536,
        ),
        "mount": Field("mount", "Folder where it is mounted.", example="/srv/images", required=PROVIDERS),
        "file_system": Field("choice", "File system of a blank volume.", default="xfs", choices=("xfs", "ext4")),
        "device": Field(
            "device",
            "The device, by a link that survives a reboot.",
            example="/dev/disk/by-id/wwn-0x5000c500a1b2c3d4",
            required=("static",),
            providers=("static",),
            own=True,
        ),
        "type": Field(
            "text",
            "Type of the volume; else `site.openstack.volume_type`, else the cloud's own choice.",
            example="fast",
            providers=("openstack",),
            own=True,
        ),
        "from": Field(
            "text",
            "A volume or snapshot of the same project, by name or id, that a new volume is a copy of.",
            example="idr126-database-db",
            providers=("openstack",),
            own=True,
        ),
        "wipe_signature": Field(
            "text",
            "What is on the device now and may be overwritten, exactly as the refusal reports it.",
            example="ext4:old-data",
            own=True,
        ),
        "absent": Field("boolean", "True leaves out a volume that the base has. Its data is not touched."),
    },
)

HOST = Field(
    "mapping",
    "A host, or `count` equal hosts.",
    keys={
        "name": Field("label", "Name of the host within the site.", example="database", required=PROVIDERS, maximum=24),
        "count": Field(
            "integer",
            "Makes this many equal hosts: `replica` with 2 becomes `replica1` and `replica2`.",
            example=2,
            providers=("docker", "openstack"),
            own=True,
            unit="hosts",
            minimum=1,
            maximum=64,
        ),
        "groups": Field(
            "list",
            "What the host is for.",
            example=["database"],
            required=PROVIDERS,
            item=Field(
                "choice",
                "A group.",
                example="cache",
                choices=tuple(name for name, group in GROUPS.items() if group.takes_hosts),
            ),
        ),
        "memory_mib": Field(
            "integer",
            "Memory limit of the container; the services are tuned to it.",
            default=1024,
            providers=("docker",),
            own=True,
            unit="MiB",
            minimum=256,
            maximum=4194304,
        ),
        "flavor": Field(
            "text",
            "Flavor of the server.",
            example="m1.large",
            required=("openstack",),
            providers=("openstack",),
            own=True,
        ),
        "boot_volume_gib": Field(
            "integer",
            "Size of the volume that the server boots from, if not that of `site.openstack`.",
            example=20,
            providers=("openstack",),
            own=True,
            unit="GiB",
            minimum=1,
            maximum=65536,
        ),
        "address": Field(
            "address",
            "With `static` where Ansible reaches the server, else its address in the network of the site, which is "
            "chosen if left out.",
            example="192.0.2.10",
            required=("static",),
            own=True,
        ),
        "private_address": Field(
            "address",
            "Where the other hosts reach the server, if that is another address.",
            example="10.0.0.10",
            providers=("static",),
            own=True,
        ),
        "public": Field("boolean", "True for the one host that the public address leads to.", default=False),
        "volumes": Field("list", "Volumes, merged by name over those of the base.", default=[], item=VOLUME),
        "absent": Field("boolean", "True leaves out a host that the base has."),
    },
)

SITE = Field(
    "mapping",
    "One deployment of the image repository.",
    keys={
        "name": Field(
            "label",
            "Name of the site: host names are `<site>-<host>`.",
            example="idr127",
            required=PROVIDERS,
            maximum=32,
        ),
        "base": Field("label", "The file in vars/ over which this one is merged.", example="demo", maximum=64),
        "provider": Field(
            "choice",
            "Where the hosts come from.",
            default="docker",
            choices=PROVIDERS,
        ),
        "docker": Field(
            "mapping",
            "Hosts as containers on this machine.",
            providers=("docker",),
            keys={
                "directory": Field(
                    "path",
                    "Folder on this machine that keeps the volumes, one folder per site.",
                    default="/var/lib/imaging-repository",
                ),
                "network": Field(
                    "mapping",
                    "The network of the containers.",
                    keys={
                        "cidr": Field(
                            "network",
                            "Private network, at least a /24; every site on the machine needs its own.",
                            default="172.30.77.0/24",
                        )
                    },
                ),
            },
        ),
        "openstack": Field(
            "mapping",
            "Hosts as servers of an OpenStack cloud.",
            providers=("openstack",),
            keys={
                "cloud": Field("text", "Name of the cloud in clouds.yaml.", example="embassy", required=("openstack",)),
                "image": Field(
                    "text",
                    "Image of the servers, by name or id: Debian 12 with cloud-init.",
                    example="Debian 12",
                    required=("openstack",),
                ),
                "user": Field("text", "User that the image lets log in by SSH; needs sudo.", default="debian"),
                "network": Field(
                    "mapping",
                    "The network of the servers.",
                    keys={
                        "cidr": Field(
                            "network",
                            "Private network of the site, at least a /24. Sites do not see each other's.",
                            default="192.168.77.0/24",
                        ),
                        "external": Field(
                            "text",
                            "Network of the cloud that public addresses come from, by name or id.",
                            example="public",
                            required=("openstack",),
                        ),
                        "dns": Field(
                            "list",
                            "Name servers of the servers, if not those of the cloud.",
                            example=["192.0.2.53"],
                            default=[],
                            item=Field("address", "A name server.", example="192.0.2.53"),
                        ),
                    },
                ),
                "ssh_from": Field(
                    "list",
                    "Networks from which operators reach the bastion by SSH.",
                    example=["198.51.100.0/24"],
                    required=("openstack",),
                    item=Field("network", "A network.", example="198.51.100.0/24"),
                ),
                "availability_zone": Field("text", "Zone of servers and volumes, if not the cloud's.", example="nova"),
                "volume_type": Field("text", "Type of all volumes that name none, if not the cloud's.", example="fast"),
                "boot_volume_gib": Field(
                    "integer",
                    "Servers boot from a volume of this size; left out, from the disk of their flavor.",
                    example=20,
                    unit="GiB",
                    minimum=1,
                    maximum=65536,
                ),
                "new_address": Field(
                    "boolean",
                    "True allocates an address where none is named, or where the named one is at another site.",
                    default=False,
                ),
                "bastion_address": Field(
                    "address",
                    "Floating IP of the project for the bastion, where the bastion is not the public host.",
                    example="192.0.2.81",
                ),
                "adopt": Field(
                    "list",
                    "Names of resources in the cloud that this site takes for its own although another made them.",
                    example=["idr127-database-db"],
                    default=[],
                    item=Field("text", "A name.", example="idr127-database-db"),
                ),
            },
        ),
        "static": Field(
            "mapping",
            "Servers that exist.",
            providers=("static",),
            keys={
                "user": Field("text", "User of the SSH connections; needs sudo unless it is root.", default="root"),
                "bastion": Field(
                    "label",
                    "Host through which the others are reached, when only it is reachable from here.",
                    example="proxy",
                    maximum=24,
                ),
                "ssh_config": Field(
                    "path",
                    "OpenSSH client configuration for all connections, instead of yours and this machine's: "
                    "the key to log in with, the known host keys.",
                    example="state/clinic/ssh/config",
                ),
                "network": Field(
                    "mapping",
                    "The network of the servers.",
                    keys={
                        "cidr": Field(
                            "network",
                            "Network that holds the private addresses of all servers.",
                            example="10.0.0.0/24",
                            required=("static",),
                        )
                    },
                ),
            },
        ),
        "public": Field(
            "mapping",
            "What visitors see.",
            own=True,
            keys={
                "name": Field(
                    "domain",
                    "Name that visitors type.",
                    example="images.example.org",
                    default={"docker": "localhost"},
                    required=PROVIDERS,
                ),
                "address": Field(
                    "address",
                    "Address behind the name. With `openstack` a floating IP of the project: used when it is free or at "
                    "this site already, never taken from another. With `static` that of the public host if left out.",
                    example="192.0.2.80",
                    default={"docker": "127.0.0.1"},
                ),
                "https_port": Field(
                    "integer",
                    "Port of the gallery.",
                    default={"docker": 8443, "": 443},
                    unit="the port",
                    minimum=1,
                    maximum=65535,
                ),
                "http_port": Field(
                    "integer",
                    "Port that only redirects to https.",
                    default={"docker": 8080, "": 80},
                    unit="the port",
                    minimum=1,
                    maximum=65535,
                ),
                "tls": Field(
                    "mapping",
                    "The certificate.",
                    keys={
                        "mode": Field(
                            "choice",
                            "`selfsigned`: by an authority made for this site; `provided`: your own files.",
                            default="selfsigned",
                            choices=("selfsigned", "provided"),
                        ),
                        "certificate": Field(
                            "path", "Certificate with its chain, PEM, for `provided`.", example="/etc/ssl/images.crt"
                        ),
                        "key": Field("path", "Its private key, PEM, for `provided`.", example="/etc/ssl/images.key"),
                    },
                ),
            },
        ),
        "image_server": Field(
            "mapping",
            "The image server software.",
            keys={"driver": Field("choice", "Which one.", default="orthanc", choices=("orthanc",))},
        ),
        "share": Field(
            "mapping",
            "How the replicas read the primary's pixel files.",
            own=True,
            keys={
                "kind": Field(
                    "choice",
                    "`nfs` where the kernel of the hosts has it, `sshfs` everywhere.",
                    default={"docker": "sshfs", "": "nfs"},
                    choices=("nfs", "sshfs"),
                )
            },
        ),
        "manifests": Field(
            "list",
            "Lists of the images that `load` imports, relative to the repository. The list replaces that of the base.",
            example=["samples/manifest.yml"],
            default=[],
            item=Field("path", "A manifest.", example="samples/manifest.yml"),
        ),
        "hosts": Field("list", "Hosts, merged by name over those of the base.", default=[], item=HOST),
    },
)


def effective(base: Any, overrides: Any = None) -> dict[str, Any]:
    """Return the whole site: overrides over base, defaults filled, hosts counted out and addressed.

    Values that the schema refuses are left out: ask problems() first.
    """
    return _expand(_fill(SITE, _merge_sites(_sound(base), _sound(overrides))))


def merged(base: Any, overrides: Any) -> dict[str, Any]:
    """Return overrides over base as one unfinished site, for a base that has a base itself."""
    return _merge_sites(_sound(base), _sound(overrides))


def file_problems(site: Any) -> list[str]:
    """Return what is wrong with the values of one file, whatever it is merged with."""
    reader = _Reader()
    reader.read(SITE, site, "site", "site")
    return reader.lines()


def problems(base: Any, overrides: Any) -> list[str]:
    """Return all that is wrong with overrides and with the site that they make over base.

    Each line is `path: what is wrong; what to do`. The paths are those of overrides; what only the base has is
    named by its name instead of its position.
    """
    reader = _Reader()
    sound = reader.read(SITE, overrides, "site", "site")
    if sound is None:
        return reader.lines()
    if "name" not in sound and "site.name" not in reader.misspelt:
        reader.refuse("site.name", "name", "is missing; write the name of this site, for example idr127")
    lent = _sound(base)
    site = _fill(SITE, _merge_sites(lent, sound))
    if "provider" not in reader.spoiled:
        _find_missing(SITE, site, site["provider"], "site", reader, lent)
        _find_useless(SITE.keys["hosts"], sound.get("hosts", []), site["provider"], "site.hosts", reader)
    for check, keys in CHECKS:
        if not reader.spoiled.intersection(keys):
            check(site, reader)
    _check_absent(sound, lent, "site", "hosts", reader)
    return reader.lines()


# What the verbs themselves take on the command line.
VERB_VARIABLES = (
    "back",
    "boot_timeout_seconds",
    "cloud",
    "confirm",
    "destroy_volumes",
    "drain",
    "from",
    "maintenance",
    "manifest",
    "name",
    "purge",
    "recreate_failed",
    "refresh",
    "stats",
    "undrain",
)
FREE_PREFIXES = ("vault_", "ansible_")


def variable_problems(names: Iterable[Any], known: Iterable[str]) -> list[str]:
    """Return one line for each top-level variable that nothing reads: it would be ignored in silence.

    `known` are the variables of the roles.
    """
    expected = {"site", *VERB_VARIABLES, *known}
    result = []
    for name in names:
        if isinstance(name, str) and (name in expected or name.startswith(FREE_PREFIXES)):
            continue
        shown = name if isinstance(name, str) and re.fullmatch(r"[\w-]{1,60}", name) else _show(name)
        nearest = _nearest(name, sorted(expected)) if isinstance(name, str) else None
        if isinstance(name, str) and name in SITE.keys:
            remedy = f"write it below site, as site.{name}"
        else:
            remedy = f"did you mean {nearest}?" if nearest else "remove it; roles/*/README.md list what there is"
        result.append(f"{shown}: unknown variable; {remedy}")
    return result


# --- Reading values -----------------------------------------------------------------------------------------------

# What whole texts look like, in the common part of Python's and ECMA's expressions: JSON Schema takes them too.
PATTERNS = {
    "label": r"[a-z]([a-z0-9-]*[a-z0-9])?",
    "domain": r"(?=.{1,253}$)(?![0-9.]+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*",
    "mount": r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+",
    "device": r"/dev/(disk/by-[a-z]+|mapper)/[^/\s]+",
}


class _Wrong(Exception):
    """A value that the schema refuses; the text says what is wrong and what to do."""


def _show(value: Any) -> str:
    """Return a value as a message quotes it: short, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = str(value)
        return repr(text if len(text) <= 60 else text[:57] + "...")
    if isinstance(value, (int, float)):
        return str(value) if abs(value) < 10**20 or value != value else "a huge number"
    kinds = ((Mapping, "a mapping"), ((list, tuple), "a list"), (datetime.date, "a date"), (bytes, "binary data"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "a value of another kind")


def _nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that the word probably means, or None."""
    found = difflib.get_close_matches(word.lower().replace("-", "_")[:100], list(choices), n=1, cutoff=0.6)
    return found[0] if found else None


def one_of(word: str, choices: Iterable[str]) -> str:
    """Return the remedy for a name that does not exist."""
    choices = list(choices)
    nearest = choices[0] if len(choices) == 1 else _nearest(word, choices)
    return f"did you mean {nearest}?" if nearest else f"write one of {', '.join(choices)}"


def _text(field: Field, value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise _Wrong(f"{_show(value)} is a number; write it in quotes: '{_show(value)}'")
    if not isinstance(value, str):
        raise _Wrong(f"{_show(value)} is not text; write {_example(field)}")
    text = str(value)
    if not text.strip() or not text.isprintable():
        raise _Wrong(f"{_show(text)} is not text on one line; write {_example(field)}")
    if re.search(r"\{[{%#]", text):
        raise _Wrong(f"{_show(text)} is a template; write the value itself")
    return text


def _example(field: Field) -> str:
    for value in (field.example, field.default, *field.choices):
        if isinstance(value, list) and value:
            return f"for example [{', '.join(map(str, value))}]"
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return f"for example {value}"
    return f"for example {field.minimum}" if field.minimum else "a value"


def _integer(field: Field, value: Any) -> int:
    """Accept whole numbers only: '800GB' and 800.5 are somebody's guess about units."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong(f"{_show(value)} is not {_integer_wanted(field)}; write {_whole(field, value)}")
    if field.minimum is not None and value < field.minimum:
        raise _Wrong(f"{_show(value)} is too small; write {field.minimum} or more")
    if field.maximum is not None and value > field.maximum:
        raise _Wrong(f"{_show(value)} is too large; write {field.maximum} or less")
    return int(value)


def _integer_wanted(field: Field) -> str:
    return f"a whole number of {field.unit}" if field.unit != "the port" else "a port number"


_SIZES_MIB = {"m": 1, "g": 1024, "t": 1024**2, "p": 1024**3}


def _whole(field: Field, value: Any) -> str:
    """Return the number that was probably meant, or an example."""
    number = None
    if isinstance(value, float) and abs(value) < 10**9:
        number = int(value)
    elif isinstance(value, str):
        found = re.fullmatch(r"\s*(\d{1,9})(?:\.0*)?\s*(?:([mgtp])i?(?:b|bytes?)?)?\s*", str(value), re.IGNORECASE)
        if found:
            number = int(found[1])
            if found[2] and field.unit in ("GiB", "MiB"):
                number = number * _SIZES_MIB[found[2].lower()] // (1024 if field.unit == "GiB" else 1)
            elif found[2]:
                number = None
    if number is None or number < (field.minimum or 0) or number > (field.maximum or number):
        return _example(field)
    return str(number)


def _boolean(_field: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = _show(value).strip("'").lower()
    meant = "true" if word in ("yes", "on", "true", "1") else "false" if word in ("no", "off", "false", "0") else None
    raise _Wrong(f"{_show(value)} is not true or false; write {meant or 'one of them'}")


def _choice(field: Field, value: Any) -> str:
    if isinstance(value, str) and value in field.choices:
        return str(value)
    if len(field.choices) == 1:
        raise _Wrong(f"{_show(value)} is not known; write {field.choices[0]}")
    nearest = _nearest(value, field.choices) if isinstance(value, str) else None
    raise _Wrong(f"{_show(value)} is not one of {', '.join(field.choices)}; write {nearest or 'one of them'}")


def _label(field: Field, value: Any) -> str:
    """Accept what a host name may hold, because it becomes part of one (RFC 1123)."""
    if isinstance(value, str) and re.fullmatch(PATTERNS["label"], value):
        if field.maximum is not None and len(value) > field.maximum:
            raise _Wrong(f"{_show(value)} has {len(value)} characters; write at most {field.maximum}")
        return str(value)
    better = re.sub(r"[^a-z0-9]+", "-", value.lower()).lstrip("-0123456789") if isinstance(value, str) else ""
    better = better[: field.maximum].rstrip("-")
    raise _Wrong(
        f"{_show(value)} is no name of small letters, digits and hyphens that begins with a letter; "
        f"write {better or _example(field)}"
    )


def _domain(field: Field, value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(PATTERNS["domain"], value):
        return str(value)
    better = re.sub(r"^[a-z]+://|[/:].*$|\.$", "", value.lower().strip()) if isinstance(value, str) else ""
    remedy = better if re.fullmatch(PATTERNS["domain"], better) else _example(field)
    raise _Wrong(f"{_show(value)} is not a domain name; write {remedy}")


def _network(field: Field, value: Any) -> str:
    try:
        network = ipaddress.IPv4Network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        raise _Wrong(f"{_show(value)} is not an IPv4 network; write {_example(field)}") from None
    if "/" not in value:
        # An address with a host part is one client; else it is probably the common size.
        whole = network.supernet(new_prefix=24)
        single = network.network_address != whole.network_address
        raise _Wrong(f"{_show(value)} says no length; write {network if single else whole}")
    if str(network) != value:
        raise _Wrong(f"{_show(value)} is not how its network is written; write {network}")
    return str(network)


def _address(field: Field, value: Any) -> str:
    try:
        return str(ipaddress.IPv4Address(value if isinstance(value, str) else ""))
    except ValueError:
        raise _Wrong(f"{_show(value)} is not an IPv4 address; write {_example(field)}") from None


def _path(field: Field, value: Any) -> str:
    return _text(field, value)


_SYSTEM_FOLDERS = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
_SHARED_FOLDERS = ("/", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/cache", "/var/lib", "/var/log")


def _mount(field: Field, value: Any) -> str:
    """Accept a folder of its own: a volume mounted over a folder of the system would hide the system."""
    text = _text(field, value)
    if not text.startswith("/"):
        raise _Wrong(f"{_show(text)} is not an absolute path; write {_example(field)}")
    plain = "/" + "/".join(part for part in text.split("/") if part not in ("", "."))
    if plain in _SHARED_FOLDERS or any((plain + "/").startswith(folder + "/") for folder in _SYSTEM_FOLDERS):
        raise _Wrong(f"{_show(text)} would hide a folder of the system; write a folder of its own, {_example(field)}")
    if not re.fullmatch(PATTERNS["mount"], plain):
        raise _Wrong(f"{_show(text)} is not a plain path of letters, digits and . _ -; write {_example(field)}")
    if plain != text:
        raise _Wrong(f"{_show(text)} is not the shortest form of a path; write {plain}")
    return text


def _device(field: Field, value: Any) -> str:
    text = _text(field, value)
    if re.fullmatch(PATTERNS["device"], text):
        return text
    if text.startswith("/dev/"):
        raise _Wrong(f"{_show(text)} can be another disk after a reboot; write its link in /dev/disk/by-id")
    raise _Wrong(f"{_show(text)} is not a device; write {_example(field)}")


READERS: dict[str, Callable[[Field, Any], Any]] = {
    "address": _address,
    "boolean": _boolean,
    "choice": _choice,
    "device": _device,
    "domain": _domain,
    "integer": _integer,
    "label": _label,
    "mount": _mount,
    "network": _network,
    "path": _path,
    "text": _text,
}


class _Reader:
    """Reads a file against the schema: keeps what is sound, collects what is not.

    `problems` lists paths and what is wrong there, in the order of the file. `spoiled` holds the keys of refused
    values and `misspelt` the paths that were probably meant, so that nobody concludes anything from their absence.
    `places` tells where the file has the entry of a list: by the path of the list and the name of the entry.
    """

    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []
        self.refused: set[str] = set()
        self.spoiled: set[str] = set()
        self.misspelt: set[str] = set()
        self.places: dict[tuple[str, str], str] = {}

    def refuse(self, path: str, key: str, text: str) -> None:
        """Report the value at a path, once, and remember that its key has no sound value."""
        if path not in self.refused:
            self.report(path, text)
        self.refused.add(path)
        self.spoiled.add(key)

    def report(self, path: str, text: str) -> None:
        """Report what does not fit together."""
        self.problems.append((path, text))

    def lines(self) -> list[str]:
        """Return the problems as they are printed."""
        return [f"{path}: {text}" for path, text in self.problems]

    def place(self, path: str, name: str) -> str:
        """Return the path of an entry, by position if the file has it and by name alone if only the base has it."""
        return self.places.get((path, name), f"{path} ({name})")

    def read(self, field: Field, value: Any, path: str, key: str) -> Any:
        """Return the sound part of a value, None for nothing."""
        if value is None:
            self.refuse(path, key, "is empty; write a value or remove the line")
        elif field.kind == "mapping":
            return self._mapping(field, value, path, key)
        elif field.kind == "list":
            return self._list(field, value, path, key)
        else:
            try:
                return READERS[field.kind](field, value)
            except _Wrong as wrong:
                self.refuse(path, key, str(wrong))
        return None

    def _mapping(self, field: Field, value: Any, path: str, key: str) -> dict[str, Any] | None:
        if not isinstance(value, Mapping):
            self.refuse(path, key, f"{_show(value)} is not a mapping; write its keys below it: {', '.join(field.keys)}")
            return None
        result = {}
        for name, inner in value.items():
            if isinstance(name, str) and name in field.keys:
                sound = self.read(field.keys[name], inner, f"{path}.{name}", str(name))
                if sound is not None:
                    result[str(name)] = sound
            else:
                self._unknown(field, name, path)
        return result

    def _unknown(self, field: Field, name: Any, path: str) -> None:
        shown = name if isinstance(name, str) and re.fullmatch(r"[\w-]{1,60}", name) else _show(name)
        nearest = _nearest(name, field.keys) if isinstance(name, str) else None
        homes = [home for home in _PATHS.get(name, ()) if home != path] if isinstance(name, str) else []
        if nearest:
            self.misspelt.add(f"{path}.{nearest}")
            remedy = f"did you mean {nearest}?"
        elif len(homes) == 1:
            remedy = f"it belongs to {homes[0]}"
        else:
            remedy = f"remove it, or write one of {', '.join(field.keys)}"
        self.refuse(f"{path}.{shown}", nearest or "", f"unknown key; {remedy}")

    def _list(self, field: Field, value: Any, path: str, key: str) -> list[Any] | None:
        if not isinstance(value, (list, tuple)):
            plain = isinstance(value, str) and re.fullmatch(r"[\w./-]{1,60}", value)
            remedy = "each entry as - name: ..." if field.named else f"[{value}]" if plain else "[...]"
            self.refuse(path, key, f"{_show(value)} is not a list; write {remedy}")
            return None
        result: list[Any] = []
        for index, inner in enumerate(value):
            place = f"{path}[{index}]"
            if field.named:
                self._entry(field.item, inner, path, index, key, result)
                continue
            sound = self.read(field.item, inner, place, key)
            if sound in result:
                self.refuse(place, key, f"{_show(sound)} stands twice; remove one")
            elif sound is not None:
                result.append(sound)
        return result

    def _entry(self, field: Field, value: Any, path: str, index: int, key: str, result: list[Any]) -> None:
        """Read one entry of a list that is merged by name; without a name it cannot be merged."""
        place = f"{path}[{index}]"
        name = value.get("name") if isinstance(value, Mapping) else None
        if key == "hosts" and isinstance(name, str) and re.fullmatch(r"[\w.-]{1,60}", name):
            place = f"{place} ({name})"
        sound = self.read(field, value, place, key)
        if sound is None:
            return
        if "name" not in sound:
            self.refuse(f"{place}.name", key, f"is missing; write {_example(field.keys['name'])}")
            self.spoiled.add(key)
        elif (path, sound["name"]) in self.places:
            first = self.places[path, sound["name"]]
            self.refuse(f"{place}.name", key, f"{_show(sound['name'])} is also the name of {first}; write another name")
        else:
            self.places[path, sound["name"]] = place
            result.append(sound)


def _paths(field: Field, path: str) -> Iterator[tuple[str, str]]:
    """Yield each key of the schema with the path of the mapping that holds it."""
    for name, inner in field.keys.items():
        yield name, path
        yield from _paths(inner, f"{path}.{name}")
    if field.item is not None:
        yield from _paths(field.item, f"{path}[]")


_PATHS: dict[str, list[str]] = {}
for _name, _path_of_name in _paths(SITE, "site"):
    _PATHS.setdefault(_name, []).append(_path_of_name)


# --- Merging ------------------------------------------------------------------------------------------------------


def _sound(site: Any) -> dict[str, Any]:
    return _Reader().read(SITE, {} if site is None else site, "site", "site") or {}


def _merge_sites(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    provider = base.get("provider", SITE.keys["provider"].default)
    if overrides.get("provider", provider) != provider:
        base = _lendable(SITE, base)
    return _merge(SITE, base, overrides)


def _lendable(field: Field, value: Any) -> Any:
    """Return what a base lends to a site of another provider."""
    if field.kind == "mapping":
        return {key: _lendable(field.keys[key], inner) for key, inner in value.items() if not field.keys[key].own}
    if field.kind == "list":
        return [_lendable(field.item, inner) for inner in value]
    return value


def _merge(field: Field, below: Any, above: Any) -> Any:
    if below is None or above is None:
        return above if below is None else below
    if field.kind == "mapping":
        keys = [key for key in field.keys if key in below or key in above]
        return {key: _merge(field.keys[key], below.get(key), above.get(key)) for key in keys}
    if field.named:
        entries = {entry["name"]: entry for entry in below}
        for entry in above:
            entries[entry["name"]] = _merge(field.item, entries.get(entry["name"]), entry)
        return list(entries.values())
    return above


def _fill(field: Field, value: Any, provider: str | None = None) -> Any:
    """Return the value with defaults, without the keys of other providers."""
    if field.kind == "mapping":
        value = value or {}
        provider = provider or value.get("provider", field.keys["provider"].default)
        keys = [key for key, inner in field.keys.items() if provider in inner.providers]
        filled = {key: _fill(field.keys[key], value.get(key), provider) for key in keys}
        return {key: inner for key, inner in filled.items() if inner is not None}
    if value is None:
        value = field.default_for(provider)
    if field.kind == "list" and value is not None:
        return [_fill(field.item, inner, provider) for inner in value]
    return value


# Providers whose hosts get an address of the site's network here, before they exist.
ADDRESSING = ("docker", "openstack")
# Each entry of hosts owns this many addresses, so that none moves when another entry grows. The first ones are the
# network's own: a cloud's router and its DHCP servers take some of them.
ADDRESSES_PER_ENTRY = 16
ENTRIES = 15


def _expand(site: dict[str, Any]) -> dict[str, Any]:
    """Count out the hosts of a filled site, give them their addresses and drop what is absent."""
    hosts = []
    for position, entry in enumerate(site["hosts"]):
        if entry.get("absent"):
            continue
        for replica in range(entry.get("count", 1)):
            host = {key: value for key, value in entry.items() if key not in ("count", "absent")}
            if "count" in entry:
                host["name"] = f"{entry['name']}{replica + 1}"
            if site["provider"] in ADDRESSING:
                address = _chosen_address(site[site["provider"]]["network"]["cidr"], position, replica)
                if address:
                    host.setdefault("address", address)
            host["volumes"] = [
                {key: value for key, value in volume.items() if key != "absent"}
                for volume in entry["volumes"]
                if not volume.get("absent")
            ]
            hosts.append(host)
    result = {key: value for key, value in site.items() if key not in ("base", "hosts")}
    public = [host["address"] for host in hosts if host["public"] and "address" in host]
    if site["provider"] == "static" and public:
        result["public"] = {**site["public"], "address": site["public"].get("address", public[0])}
    return {**result, "hosts": hosts}


def _chosen_address(cidr: str, position: int, replica: int) -> str | None:
    """Return the address of a host, or None where the network or the entry is too small."""
    network = ipaddress.IPv4Network(cidr)
    offset = ADDRESSES_PER_ENTRY * (position + 1) + replica
    if replica >= ADDRESSES_PER_ENTRY or position >= ENTRIES or offset >= network.num_addresses - 1:
        return None
    return str(network.network_address + offset)


def url(site: Mapping[str, Any]) -> str:
    """Return the address of the gallery, without a slash at its end."""
    public = site.get("public", {})
    port = public.get("https_port", 443)
    return f"https://{public.get('name', 'localhost')}" + ("" if port == 443 else f":{port}")


# Names of the firewalls that are no group: the one of all hosts, and that of the public host.
ALL_HOSTS = "site"
PUBLIC_HOST = "public"
ANYWHERE = "0.0.0.0/0"


def firewall(site: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return what may come in to the hosts of an effective site; everything else is closed.

    A firewall per group that has hosts, before them ALL_HOSTS and after them PUBLIC_HOST; see host_firewalls(). Each
    rule is `{"protocol": "tcp", "port": 22, ...}` or `{"protocol": "icmp", "port": None, ...}` (echo requests), from
    either `"sources"`, a list of names of firewalls, or `"cidr"`, one network.
    """
    used = [name for name in GROUPS if any(name in host["groups"] for host in site["hosts"])]
    rules: dict[str, list[dict[str, Any]]] = {
        ALL_HOSTS: [
            {"protocol": "tcp", "port": 22, "sources": ["bastion"]},
            {"protocol": "icmp", "port": None, "sources": [ALL_HOSTS]},
        ]
    }
    for name in used:
        rules[name] = [
            {"protocol": "tcp", "port": listen.port, "sources": [group for group in used if group in listen.sources]}
            for listen in GROUPS[name].listens
            if listen.share in ("", site["share"]["kind"])
        ]
    rules["bastion"] += [{"protocol": "tcp", "port": 22, "cidr": network} for network in site["openstack"]["ssh_from"]]
    rules[PUBLIC_HOST] = [
        {"protocol": "tcp", "port": site["public"][port], "cidr": ANYWHERE} for port in ("https_port", "http_port")
    ]
    return rules


def host_firewalls(host: Mapping[str, Any]) -> list[str]:
    """Return the names of the firewalls of one host of an effective site."""
    return [ALL_HOSTS, *host["groups"], *([PUBLIC_HOST] if host["public"] else [])]


# --- What must fit together ---------------------------------------------------------------------------------------


def _find_missing(
    field: Field, value: Mapping[str, Any], provider: str, path: str, reader: _Reader, lent: Mapping[str, Any]
) -> None:
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
                    _find_missing(inner.item, entry, provider, reader.place(here, entry["name"]), reader, lent)
        elif value.get(key) in (None, []) and provider in inner.required:
            # Its entries were refused one by one: it is not missing.
            if any(refused.startswith(f"{here}[") for refused in reader.refused):
                continue
            reader.refuse(here, key, f"is missing; write {_example(inner)}{_meant_host(key, value, lent)}")


def _find_useless(field: Field, entries: list[dict[str, Any]], provider: str, path: str, reader: _Reader) -> None:
    """Report keys of hosts and volumes that the provider does not know; they would be ignored in silence."""
    for entry in entries:
        place = reader.place(path, entry["name"])
        for key, value in entry.items():
            inner = field.item.keys[key]
            if provider not in inner.providers:
                known = " and ".join(inner.providers)
                reader.report(f"{place}.{key}", f"means nothing to provider {provider}, only to {known}; remove it")
            elif inner.named:
                _find_useless(inner, value, provider, f"{place}.{key}", reader)


def _meant_host(key: str, value: Mapping[str, Any], lent: Mapping[str, Any]) -> str:
    """Return the question whether a new host without groups is a misspelt one of the base."""
    names = [host["name"] for host in lent.get("hosts", [])]
    nearest = _nearest(value["name"], names) if key == "groups" and value["name"] not in names else None
    return f", or did you mean the host {nearest}?" if nearest else ""


def _check_absent(above: Mapping[str, Any], below: Mapping[str, Any], path: str, key: str, reader: _Reader) -> None:
    """Refuse to leave out a host or volume that the base does not have: its name is misspelt."""
    lent = {entry["name"]: entry for entry in below.get(key, [])}
    for entry in above.get(key, []):
        place = reader.place(f"{path}.{key}", entry["name"])
        if entry.get("absent") and entry["name"] not in lent:
            remedy = one_of(entry["name"], lent) if lent else "remove the entry"
            reader.report(f"{place}.absent", f"the base has no {entry['name']} to leave out; {remedy}")
        elif key == "hosts" and not entry.get("absent"):
            _check_absent(entry, lent.get(entry["name"], {}), place, "volumes", reader)


def _entries(site: Mapping[str, Any], reader: _Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and content of each host entry that is not left out."""
    for entry in site["hosts"]:
        if not entry.get("absent"):
            yield reader.place("site.hosts", entry["name"]), entry


def _host_names(entry: Mapping[str, Any]) -> list[str]:
    if "count" not in entry:
        return [entry["name"]]
    return [f"{entry['name']}{number + 1}" for number in range(entry["count"])]


def _check_names(site: Mapping[str, Any], reader: _Reader) -> None:
    owners: dict[str, str] = {}
    for path, entry in _entries(site, reader):
        for name in _host_names(entry):
            if name in owners:
                reader.report(f"{path}.name", f"{owners[name]} makes a host {name} too; write another name")
            owners.setdefault(name, entry["name"])


def _check_groups(site: Mapping[str, Any], reader: _Reader) -> None:
    members: dict[str, list[str]] = {name: [] for name in GROUPS}
    for _path, entry in _entries(site, reader):
        for group in entry.get("groups", []):
            members[group] += _host_names(entry)
    for name, group in GROUPS.items():
        hosts = members[name]
        missing = [need for need in group.needs if not members[need] and not GROUPS[need].exactly_one]
        if group.exactly_one and not hosts:
            text = f"no host is in the group {name}; add groups: [{name}] to one host"
        elif group.exactly_one and len(hosts) > 1:
            text = f"{', '.join(hosts)} are in the group {name}, which takes one host; leave one in it"
        elif hosts and missing:
            need = missing[0]
            text = f"the group {name} ({', '.join(hosts)}) needs a host in {need}; add groups: [{need}] to one"
        else:
            continue
        reader.report("site.hosts", text)


def _check_public_host(site: Mapping[str, Any], reader: _Reader) -> None:
    public = [(path, entry) for path, entry in _entries(site, reader) if entry["public"]]
    names = [name for _path, entry in public for name in _host_names(entry)]
    if not names:
        reader.report("site.hosts", "no host is public; add public: true to the host of the group cache")
    elif len(names) > 1:
        reader.report("site.hosts", f"{', '.join(names)} are public; leave one of them public")
    elif "cache" not in public[0][1].get("groups", []):
        text = "the host is not in the group cache, so nothing answers there; add cache to groups"
        reader.report(f"{public[0][0]}.public", text)


def _check_volumes(site: Mapping[str, Any], reader: _Reader) -> None:
    for path, entry in _entries(site, reader):
        for key in ("mount", "device"):
            owners: dict[str, str] = {}
            for volume in entry["volumes"]:
                if key not in volume or volume.get("absent"):
                    continue
                if volume[key] in owners:
                    text = f"{_show(volume[key])} is the {key} of volume {owners[volume[key]]} too; write another one"
                    reader.report(f"{reader.place(f'{path}.volumes', volume['name'])}.{key}", text)
                owners.setdefault(volume[key], volume["name"])
        for volume in entry["volumes"]:
            if "from" in volume and "wipe_signature" in volume and not volume.get("absent"):
                place = f"{reader.place(f'{path}.volumes', volume['name'])}.wipe_signature"
                reader.report(place, f"would overwrite what is copied from {_show(volume['from'])}; remove one of them")


# Ports on which the services of a host listen themselves.
USED_PORTS = {22: "SSH", 5432: "PostgreSQL", 8042: "the image server", 8081: "the cache", 8082: "the cache"}


def _check_ports(site: Mapping[str, Any], reader: _Reader) -> None:
    public = site["public"]
    if public["http_port"] == public["https_port"]:
        reader.report("site.public.http_port", f"{public['http_port']} is also the https_port; write another port")
    for key in ("https_port", "http_port"):
        # A container keeps its own ports; a server's service would find this one in use.
        if site["provider"] != "docker" and public[key] in USED_PORTS:
            text = f"{public[key]} is taken by {USED_PORTS[public[key]]}; write another port"
            reader.report(f"site.public.{key}", text)


def _check_tls(site: Mapping[str, Any], reader: _Reader) -> None:
    tls = site["public"]["tls"]
    for key in ("certificate", "key"):
        path = f"site.public.tls.{key}"
        if tls["mode"] == "provided" and key not in tls and path not in reader.misspelt:
            reader.report(path, f"is missing although mode is provided; write {_example(_TLS.keys[key])}")
        elif tls["mode"] != "provided" and key in tls:
            reader.report(path, f"is given although mode is {tls['mode']}; write mode: provided, or remove it")


_TLS = SITE.keys["public"].keys["tls"]


def _check_network(site: Mapping[str, Any], reader: _Reader) -> None:
    """Refuse a network in which the hosts do not find their addresses."""
    provider = site["provider"]
    if provider not in ADDRESSING:
        return
    path = f"site.{provider}.network.cidr"
    network = ipaddress.IPv4Network(site[provider]["network"]["cidr"])
    if network.prefixlen > 24:
        wide = network.supernet(new_prefix=24)
        reader.report(path, f"'{network}' is too small for the hosts; write {wide}")
        return
    if not network.is_private:
        usual = SITE.keys[provider].keys["network"].keys["cidr"].default
        reader.report(path, f"'{network}' is not a private network; write {usual}")
    for position, entry in enumerate(site["hosts"]):
        path = reader.place("site.hosts", entry["name"])
        count = entry.get("count", 1)
        fitting = sum(
            _chosen_address(str(network), position, replica) is not None for replica in range(ADDRESSES_PER_ENTRY)
        )
        if position >= ENTRIES:
            reader.report(
                path, f"is entry {position + 1}, the network has addresses for {ENTRIES}; use count, or fewer"
            )
        elif not entry.get("absent") and count > fitting:
            text = f"{count} is more than an entry has addresses for; write {fitting} or less"
            reader.report(f"{path}.count", text)


def _check_docker(site: Mapping[str, Any], reader: _Reader) -> None:
    address = site["public"].get("address")
    if site["provider"] == "docker" and not ipaddress.IPv4Address(address).is_loopback:
        reader.report("site.public.address", f"'{address}' is not on the loopback of this machine; write 127.0.0.1")


def _check_openstack(site: Mapping[str, Any], reader: _Reader) -> None:
    """Check how the site is reached: at the public host, and through its one bastion."""
    if site["provider"] != "openstack":
        return
    entries = [entry for _path, entry in _entries(site, reader)]
    bastions = [name for entry in entries if "bastion" in entry.get("groups", []) for name in _host_names(entry)]
    at_public = any("bastion" in entry.get("groups", []) for entry in entries if entry["public"])
    public, bastion = site["public"].get("address"), site["openstack"].get("bastion_address")
    allocates = site["openstack"]["new_address"]
    if not bastions:
        reader.report("site.hosts", "no host is in the group bastion; add groups: [cache, bastion] to the public host")
    elif len(bastions) > 1:
        text = f"{', '.join(bastions)} are in the group bastion; with openstack leave one in it"
        reader.report("site.hosts", text)
    elif bastion and at_public:
        text = f"is useless, because the bastion {bastions[0]} is the public host; remove it"
        reader.report("site.openstack.bastion_address", text)
    elif bastion and bastion == public:
        text = f"'{bastion}' is the public address too; write another floating IP"
        reader.report("site.openstack.bastion_address", text)
    elif not (bastion or at_public or allocates):
        text = f"is missing for {bastions[0]}; write a floating IP of the project, or site.openstack.new_address: true"
        reader.report("site.openstack.bastion_address", text)
    if not (public or allocates):
        text = "is missing; write a floating IP of the project, or site.openstack.new_address: true to allocate one"
        reader.report("site.public.address", text)


def _check_static(site: Mapping[str, Any], reader: _Reader) -> None:
    if site["provider"] != "static":
        return
    bastion = site["static"].get("bastion")
    names = [name for _path, entry in _entries(site, reader) for name in _host_names(entry)]
    if bastion is not None and bastion not in names:
        reader.report("site.static.bastion", f"there is no host {bastion}; {one_of(bastion, names)}")


def _check_addresses(site: Mapping[str, Any], reader: _Reader) -> None:
    """Refuse addresses that two hosts share or that the site's network does not have."""
    cidr = site.get(site["provider"], {}).get("network", {}).get("cidr")
    if cidr is None:
        return
    network = ipaddress.IPv4Network(cidr)
    # The network's own: its name and gateway, on a cloud also its DHCP servers, and the broadcast.
    first = {"docker": 2, "openstack": ADDRESSES_PER_ENTRY}.get(site["provider"])
    taken = {*itertools.islice(network, first), network[-1]} if first else set()
    paths = {name: path for path, entry in _entries(site, reader) for name in _host_names(entry)}
    owners: dict[str, str] = {}
    for host in _expand(site)["hosts"]:
        key = "private_address" if "private_address" in host else "address"
        if key not in host:
            continue
        address = ipaddress.IPv4Address(host[key])
        path = f"{paths[host['name']]}.{key}"
        if host[key] in owners:
            reader.report(path, f"'{address}' is the address of {owners[host[key]]} too; write another one")
        elif address not in network and site["provider"] == "static" and key == "address":
            reader.report(path, f"'{address}' is not in the site's network {network}; add the private_address there")
        elif address not in network:
            reader.report(path, f"'{address}' is not in the site's network {network}; write an address in it")
        elif address in taken:
            reader.report(path, f"'{address}' belongs to the network itself; write another one")
        owners.setdefault(host[key], host["name"])


# Each check with the keys whose values it needs: where one of them was refused, it has nothing to say.
CHECKS: tuple[tuple[Callable[[Mapping[str, Any], _Reader], None], frozenset[str]], ...] = (
    (_check_names, frozenset({"hosts", "count", "absent"})),
    (_check_groups, frozenset({"hosts", "groups", "count", "absent"})),
    (_check_public_host, frozenset({"hosts", "groups", "count", "absent", "public"})),
    (_check_volumes, frozenset({"absent"})),
    (_check_ports, frozenset({"provider", "https_port", "http_port"})),
    (_check_tls, frozenset({"tls", "mode", "certificate", "key"})),
    (_check_network, frozenset({"provider", "hosts", "cidr"})),
    (_check_docker, frozenset({"provider"})),
    (
        _check_openstack,
        frozenset(
            {"provider", "openstack", "hosts", "groups", "count", "absent", "public", "address"}
            | {"bastion_address", "new_address"}
        ),
    ),
    (_check_static, frozenset({"provider", "hosts", "absent", "bastion"})),
    (_check_addresses, frozenset({"provider", "hosts", "absent", "count", "cidr", "address", "private_address"})),
)
