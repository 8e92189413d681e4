# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The schema of roles/<feature>/meta/feature.yml, in the same grammar as that of site files."""

from __future__ import annotations

from dataclasses import replace

from .fields import EVERY, FIELD, Field

# The value of `networks` for the whole world.
ANYWHERE = "anywhere"

_NEEDS = Field("list", "Groups that must have hosts.", example=["a_group"], item=Field("identifier", "A group."))
_PORT = Field(
    "port",
    "The port, or the path of the key of the site that holds it.",
    example=9100,
    minimum=1,
    maximum=65535,
    required=(EVERY,),
    unit="the port",
)
_LISTENS = Field(
    "list",
    "Ports on which its hosts answer others. All else is closed.",
    item=Field(
        "mapping",
        "A port that is open to others.",
        keys={
            "port": _PORT,
            "from": Field(
                "list",
                "Groups whose hosts reach it; `site` for all hosts.",
                example=["a_group"],
                item=Field("identifier", "A group.", example="a_group"),
            ),
            "networks": Field(
                "key_path",
                "Also `anywhere`, or the path of a list of networks; `provider.x` is the key x of the site's provider.",
                example=ANYWHERE,
            ),
            "protocol": Field("choice", "The protocol; left out, tcp.", choices=("tcp", "udp")),
            "on": Field(
                "choice",
                "Who answers, if not the hosts of the group: `all` hosts of the site, or the `public` one.",
                choices=("all", "public"),
            ),
            "when": Field(
                "map",
                "Only where these keys of the site, by their paths, have these values.",
                names="key_path",
                example="section.key: value",
                item=Field("any", "The value.", example="value"),
            ),
        },
    ),
)
_KEYS = Field("map", "Keys that it adds.", example="greeting: {kind: text, ...}", item=FIELD)
_DESCRIPTION = Field("text", "One sentence for the documents.", example="One sentence.", required=(EVERY,))
_GROUP = Field(
    "mapping",
    "A group.",
    keys={
        "description": replace(_DESCRIPTION, description="What its hosts are for."),
        "parent": Field("identifier", "The group that contains it; left out, the site.", example="a_group"),
        "hosts": Field(
            "choice",
            "How many hosts it takes. One of exactly one can be empty where nothing that is on needs it.",
            choices=("any", "at most one", "exactly one", "none"),
        ),
        "needs": _NEEDS,
        "spread": Field("boolean", "A cloud puts its hosts on different machines where it can."),
        "entry": Field("boolean", "Operators enter the site at its host."),
        "public": Field("boolean", "Visitors are answered here: the public host is in the group."),
        "listens": _LISTENS,
    },
)
_PROVIDER = Field(
    "mapping",
    "Makes the feature a provider.",
    keys={
        "name": Field("label", "Its name in site files.", example="my-cloud", maximum=24, required=(EVERY,)),
        "hosts": Field(
            "choice",
            "Whether it makes the hosts or takes those that exist.",
            choices=("made", "given"),
            required=(EVERY,),
        ),
        "default": Field("boolean", "The provider of a site that names none."),
        "publishes": Field("boolean", "The public ports are those of this machine, apart from those of the hosts."),
        "reserved_addresses": Field(
            "integer",
            "How many addresses at the beginning of the network belong to the network itself.",
            minimum=0,
            maximum=250,
            unit="addresses",
        ),
        "defaults": Field(
            "map",
            "Defaults of keys of every site, by their paths.",
            names="key_path",
            example="section.key: value",
            item=Field("any", "The value.", example="localhost"),
        ),
    },
)
FEATURE = Field(
    "mapping",
    "What a feature adds to a site.",
    keys={
        "description": _DESCRIPTION,
        "provider": _PROVIDER,
        "driver": Field("boolean", "The feature is an image server, in a folder named after the group it runs on."),
        "on": Field(
            "text_list",
            "`all`, or the groups on whose hosts it runs; left out, its own groups.",
            example="[a_group], or all",
        ),
        "after": Field(
            "list",
            "Features that come before it on a host, beyond those whose groups it needs.",
            item=Field("identifier", "A feature.", example="a_feature"),
        ),
        "groups": Field("map", "Its groups by name.", example="greeter: {description: ...}", item=_GROUP),
        "extends": Field(
            "map",
            "What it adds to groups of other features where it is on.",
            example="a_group: {needs: [...]}",
            item=Field("mapping", "An addition to a group.", keys={"needs": _NEEDS, "listens": _LISTENS}),
        ),
        "keys": replace(
            _KEYS, names="key_path", description="Keys of the site that it reads. A name such as `public.x` goes below."
        ),
        "host_keys": replace(_KEYS, description="Keys of hosts that it reads."),
        "volume_keys": replace(_KEYS, description="Keys of volumes that it reads."),
        "secrets": Field(
            "list",
            "Variables that the controller makes up once for each site and keeps.",
            item=Field("secret", "A name.", example="vault_greeter_password"),
        ),
        "users": Field(
            "map",
            "Users with their fixed numbers on hosts, so that kept volumes fit.",
            names="account",
            example="greeter: 961",
            item=Field("integer", "The number.", example=961, minimum=1, maximum=65533, unit="a user"),
        ),
        "ports": Field(
            "list",
            "Ports that its services use on their own hosts, open or not.",
            item=Field(
                "mapping",
                "A port that is in use.",
                keys={
                    "port": _PORT,
                    "description": replace(_DESCRIPTION, description="Who uses it, for messages."),
                    "protocol": Field("choice", "The protocol; left out, tcp.", choices=("tcp", "udp")),
                    "from": Field("choice", "It answers only its own host.", choices=("loopback",)),
                    "programs": Field(
                        "list",
                        "Processes that may listen there; preflight refuses a host where another one does. Left out, it does not look.",
                        item=Field("text", "The name of a process.", example="nginx"),
                    ),
                },
            ),
        ),
        "replaces": Field(
            "list",
            "Files and directories of the system that it replaces. A server that exists is refused where others wrote there.",
            item=Field("text", "An absolute path.", example="/etc/nginx"),
        ),
        "packages": Field(
            "list",
            "Debian packages that its hosts need; preflight refuses a host that cannot install one.",
            item=Field("text", "A package.", example="nginx"),
        ),
    },
)
