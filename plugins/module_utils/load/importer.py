# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the verb load asks of an image server's driver. docs/drivers.md describes it with an example.

A driver's importer is a Python package on the primary, `<importers>/<driver>/`, which role image_server_<driver> installs.
It has a function `importer(settings) -> Importer` and takes the types of this file from the module `imaging_repository_load`,
which exists wherever an importer runs:

    from imaging_repository_load import Image, Importer, Refused, ServerError, Stored, Words
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Collection, Mapping
from typing import Any, Protocol, cast

from .parallel import in_parallel

__all__ = [
    "Changes",
    "Description",
    "Driver",
    "Image",
    "Importer",
    "NotInstalled",
    "Refused",
    "ServerError",
    "Stored",
    "Words",
    "in_parallel",
    "open_driver",
]

# The name under which importers import this file.
CONTRACT = "imaging_repository_load"

# The ids by which the image server knows an image: first its study, last the image itself, between them what the driver
# wants. The ids of an image of one driver are unique.
Image = tuple[str, ...]

# What the public pages show of a study. The driver gives id, title, description, licence and source, and whatever its
# gallery/driver.js reads; the path `thumbnail` of its picture is '' where none can be drawn. load adds `driver`.
Description = dict[str, Any]


class Refused(Exception):
    """The image server cannot take this file; others it can. The message says why and what to do."""


class ServerError(Exception):
    """The image server does not answer, refuses the login or cannot store: it makes no sense to go on."""


@dataclasses.dataclass(frozen=True)
class Words:
    """What a manifest says of a study."""

    title: str = ""
    description: str = ""
    licence: str = ""
    source: str = ""


@dataclasses.dataclass
class Stored:
    """What became of one file: all its images on the server, and how many of them it did not have before."""

    images: list[Image] = dataclasses.field(default_factory=list)
    new: int = 0


@dataclasses.dataclass(frozen=True)
class Changes:
    """What happened on an image server since a mark. `mark` is anything that JSON can hold.

    `studies` are those that were added, removed or changed; None where that cannot be told, and all are examined.
    """

    mark: Any = None
    studies: frozenset[str] | None = None


class Importer(Protocol):
    """Brings images into one image server that runs on this host.

    Methods are called from several threads. Each may raise ServerError. Those with a body need not be written.
    """

    def accepts(self, path: str) -> str:
        """Return '' where this driver takes files like that at `path`, else why not, for the user to read.

        Looks at the first bytes only. Where a site has several drivers, the first that accepts a file gets it.
        """
        ...

    def store(self, path: str, workspace: str, words: Words) -> Stored:
        """Bring the file at `path` into the image server and make sure that what arrived is what was sent.

        `workspace` is a directory of this file's own on the volume of the images; it need not exist, and is kept until
        the file is stored, so that a conversion that was cut can go on. The same file again changes nothing. Raises
        Refused, or OSError where the file cannot be read.
        """
        ...

    def missing(self, images: Collection[Image]) -> set[Image]:
        """Return which of the images the server no longer has; cheap, because every load asks it of what changed."""
        ...

    def describe(self, study: str, words: Words) -> Description | None:
        """Return what the public pages show of a study, or None where the server has no such study.

        `words` are those of the last load that named the study. The driver makes ready here what visitors will need.
        """
        ...

    def studies(self) -> list[str]:
        """Return the ids of all studies of the server."""
        ...

    def annotate(self, study: str, words: Words, check: bool) -> bool:
        """Keep the words with the study in the image server; return whether they differed. `check`: write nothing.

        A driver that cannot keep any writes no such method: load remembers them for describe().
        """
        return False

    def changes(self, mark: Any, own: Mapping[str, str]) -> Changes:
        """Return what changed since `mark` (None: since ever), with a number of requests that does not grow with studies.

        `own` gives the study of every image (its last id) that load has stored: those need not be asked for. Without
        this method every load asks for all studies.
        """
        return Changes()


@dataclasses.dataclass(frozen=True)
class Driver:
    """An image server that images can be loaded into. `version` changes with the importer's code and settings."""

    name: str
    importer: Importer
    version: str = ""


class NotInstalled(Exception):
    """The importer of a driver is not on this host; the message says what to do."""


def open_driver(
    name: str, directory: str, settings: Mapping[str, Any], others: Mapping[str, Any] | None = None
) -> Driver:
    """Return the driver whose importer is the package in `directory`. Raises NotInstalled.

    `others` are settings that say nothing about the images, such as passwords.
    """
    sys.modules.setdefault(CONTRACT, sys.modules[__name__])
    path = os.path.join(directory, "__init__.py")
    module_name = f"imaging_repository_importers_{name}"
    if not os.path.isfile(path):
        raise NotInstalled(f"{directory}: is no importer; run playbooks/load.yml, which installs that of {name}")
    spec = importlib.util.spec_from_file_location(module_name, path, submodule_search_locations=[directory])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    # The directory holds what the role installed, and nothing that Python compiled.
    writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes_none
    return Driver(name, cast(Importer, module.importer({**settings, **(others or {})})), _digest(directory, settings))


def _digest(directory: str, settings: Mapping[str, Any]) -> str:
    checksum = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for parent, directories, names in sorted(os.walk(directory)):
        directories[:] = sorted(name for name in directories if name != "__pycache__")
        for name in sorted(names):
            with open(os.path.join(parent, name), "rb") as stream:
                checksum.update(name.encode("utf-8", "surrogateescape") + b"\0" + stream.read())
    return checksum.hexdigest()
