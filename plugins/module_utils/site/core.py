# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The keys that every site file knows, whatever features there are. The others stand in roles/*/meta/feature.yml."""

from __future__ import annotations

from .fields import EVERY, GIVEN, MADE, OTHERS, Field

# Where keys of features go is marked by these names, which no file can have.
PROVIDER_KEYS, FEATURE_KEYS = "*providers", "*features"
MARKS = (PROVIDER_KEYS, FEATURE_KEYS)
_MARK = Field("mapping", "")

VOLUME = Field(
    "mapping",
    "A volume: a disk that outlives its host.",
    keys={
        "name": Field(
            "label", "Name of the volume, unique on its host.", example="data", required=(EVERY,), maximum=24
        ),
        "gib": Field(
            "integer",
            "Size. Enlarge it to grow the file system at the next run; it never shrinks. "
            "For servers that exist it is only what the device must at least hold.",
            example=800,
            required=(MADE,),
            own=True,
            unit="GiB",
            minimum=1,
            maximum=65536,
        ),
        "mount": Field("mount", "Folder where it is mounted.", example="/srv/images", required=(EVERY,)),
        "file_system": Field("choice", "File system of a blank volume.", default="xfs", choices=("xfs", "ext4")),
        "device": Field(
            "device",
            "The device, by a link that survives a reboot.",
            example="/dev/disk/by-id/wwn-0x5000c500a1b2c3d4",
            required=(GIVEN,),
            providers=(GIVEN,),
            own=True,
        ),
        FEATURE_KEYS: _MARK,
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
        "name": Field("label", "Name of the host within the site.", required=(EVERY,), maximum=24),
        "count": Field(
            "integer",
            "Makes this many equal hosts: `replica` with 2 becomes `replica1` and `replica2`.",
            example=2,
            providers=(MADE,),
            own=True,
            unit="hosts",
            minimum=1,
            maximum=64,
        ),
        "groups": Field(
            "list",
            "What the host is for.",
            required=(EVERY,),
            item=Field("choice", "A group.", choices_of="groups"),
        ),
        FEATURE_KEYS: _MARK,
        "address": Field(
            "address",
            "Of a server that exists, where Ansible reaches it; else its address in the network of the site, which is "
            "chosen if left out.",
            example="192.0.2.10",
            required=(GIVEN,),
            own=True,
        ),
        "private_address": Field(
            "address",
            "Where the other hosts reach the server, if that is another address.",
            example="10.0.0.10",
            providers=(GIVEN,),
            own=True,
        ),
        "public": Field("boolean", "True for the one host that the public address leads to.", default=False),
        "volumes": Field("list", "Volumes, merged by name over those of the base.", default=[], item=VOLUME),
        "absent": Field("boolean", "True leaves out a host that the base has."),
    },
)

PUBLIC = Field(
    "mapping",
    "What visitors see.",
    own=True,
    keys={
        "name": Field("domain", "Name that visitors type.", example="images.example.org", required=(EVERY,)),
        "address": Field(
            "address",
            "Address behind the name. On a cloud a floating IP of the project: used when it is free or at this site "
            "already, never taken from another. With servers that exist that of the public host if left out.",
            example="192.0.2.80",
        ),
        "https_port": Field(
            "integer", "Port of the public pages.", default={OTHERS: 443}, unit="the port", minimum=1, maximum=65535
        ),
        "http_port": Field(
            "integer",
            "Port that only redirects to https.",
            default={OTHERS: 80},
            unit="the port",
            minimum=1,
            maximum=65535,
        ),
        FEATURE_KEYS: _MARK,
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
            required=(EVERY,),
            maximum=32,
        ),
        "base": Field("label", "The file in vars/ over which this one is merged.", example="demo", maximum=64),
        "provider": Field("choice", "Where the hosts come from.", choices_of="providers"),
        PROVIDER_KEYS: _MARK,
        "public": PUBLIC,
        FEATURE_KEYS: _MARK,
        "manifests": Field(
            "list",
            "Lists of the images that `load` imports, relative to the repository. The list replaces that of the base.",
            example=["samples/manifest.yml"],
            default=[],
            item=Field("path", "A manifest.", example="samples/manifest.yml", exists=True),
        ),
        "hosts": Field("list", "Hosts, merged by name over those of the base.", default=[], item=HOST),
    },
)
