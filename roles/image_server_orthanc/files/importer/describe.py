# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the public pages show of a study, read from Orthanc itself: it is complete also over volumes that were kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imaging_repository_load import Description

from .client import Client

WHOLE_SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
# Of a study whose first images cannot be drawn, so many are tried for the thumbnail.
THUMBNAIL_CANDIDATES = 8
# Levels of a slide that have at most so many tiles are warmed: what the front page draws and what a large screen shows
# first. With tiles of 512 pixels that is 4096 pixels a side.
TILES_AT_MOST = 64


def describe(client: Client, identifier: str, pages: Mapping[str, str]) -> Description | None:
    """Return what the gallery shows of a study, None where there is no such study. Raises ServerError.

    That is id, title, description, licence, source, thumbnail (path, or empty where none can be drawn), series and
    instances (counts), modalities, whole_slide, stretched (the series whose small pictures would be black), and pages,
    which the warm cannot list itself: tiles. Addresses are those of `pages`, the policy's table.
    """
    path = f"/studies/{identifier}"
    study = client.get(path)
    if study is None:
        return None
    words = client.get(f"{path}/metadata?expand") or {}
    series = sorted(client.get(f"{path}/series") or [], key=_series_order)
    tags = study.get("MainDicomTags", {})
    # Every slide is to be opened, not only the first.
    pyramids = [_open_slide(client, one, pages) for one in series]
    whole_slide = any(pyramids)
    stretched = [one["ID"] for one in series if one["Instances"] and _is_black(client, one["Instances"][0], pages)]
    return {
        "id": identifier,
        "title": words.get("Title") or tags.get("StudyDescription") or f"Study {identifier[:8]}",
        "description": words.get("Description", ""),
        "licence": words.get("Licence", ""),
        "source": words.get("Source", ""),
        "thumbnail": _thumbnail(client, series, whole_slide, stretched, pages),
        "series": len(series),
        "instances": sum(len(one["Instances"]) for one in series),
        "modalities": sorted({one["MainDicomTags"].get("Modality", "") for one in series} - {""}),
        "whole_slide": whole_slide,
        "stretched": stretched,
        "pages": [tile for pyramid in pyramids if pyramid for tile in _tiles(pyramid, pages)],
    }


def _open_slide(client: Client, series: dict, pages: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the pyramid of a series that is a whole slide, and open it once.

    At the first opening of a slide Orthanc writes what it found into the database. Replicas cannot, and would answer
    that there is none; so this is asked of the primary, for every slide, before the public can.
    """
    if series["MainDicomTags"].get("Modality") != "SM" or not series["Instances"]:
        return None
    about = client.get(f"/instances/{series['Instances'][0]}/metadata?expand") or {}
    if about.get("SopClassUid") != WHOLE_SLIDE_CLASS:
        return None
    return client.get(pages["pyramid"].format(id=series["ID"]))


def _tiles(pyramid: dict[str, Any], pages: Mapping[str, str]) -> Iterator[str]:
    """Yield the tiles of the small levels, the smallest first."""
    for level, (columns, rows) in reversed(list(enumerate(pyramid["TilesCount"]))):
        if columns * rows <= TILES_AT_MOST:
            for y in range(rows):
                for x in range(columns):
                    yield pages["tile"].format(id=pyramid["ID"], level=level, x=x, y=y)


def _series_order(series: dict) -> tuple:
    return _number(series["MainDicomTags"].get("SeriesNumber")), series["ID"]


def _number(text: str | None) -> float:
    try:
        return float(text or "inf")
    except ValueError:
        return float("inf")


def _is_black(client: Client, instance: str, pages: Mapping[str, str]) -> bool:
    """Return whether the small picture is black: that of a deep greyscale image that names no window.

    The large one stretches the grey values. Images of one series are alike, so the first one speaks for all.
    """
    tags = client.get(pages["metadata"].format(id=instance)) or {}
    grey = str(tags.get("PhotometricInterpretation", "")).startswith("MONOCHROME")
    return grey and _number(tags.get("BitsStored")) > 8 and not tags.get("WindowCenter")


def _can_draw(client: Client, path: str) -> bool:
    return client.request("GET", path, headers={"Accept": "image/jpeg"})[0] == 200


def _thumbnail(
    client: Client, series: list[dict], whole_slide: bool, stretched: list[str], pages: Mapping[str, str]
) -> str:
    """Return the path of the first picture that Orthanc can draw: of a slide its smallest level, the whole in one."""
    tried = 0
    for one in series:
        instances = client.get(f"/series/{one['ID']}/instances") or []
        frames = "NumberOfFrames" if whole_slide else "InstanceNumber"
        instances.sort(
            key=lambda i: (
                _number(i["MainDicomTags"].get(frames)),
                (-1 if whole_slide else 1) * _number(i["MainDicomTags"].get("InstanceNumber")),
                i["ID"],
            )
        )
        for instance in instances:
            path = pages["picture" if one["ID"] in stretched else "thumbnail"].format(id=instance["ID"])
            if _can_draw(client, path):
                return path
            # Without its database Orthanc says of every picture that it cannot draw it; this waits for the database.
            client.get(f"/instances/{instance['ID']}")
            if _can_draw(client, path):
                return path
            tried += 1
            if tried >= THUMBNAIL_CANDIDATES:
                return ""
    return ""
