# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the public pages show of a study, read from Orthanc itself: it is complete also over volumes that were kept."""

from __future__ import annotations

from imaging_repository_load import Description

from .client import Client

WHOLE_SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
THUMBNAIL = "/instances/{}/rendered?width=256"
# In full size, but with its grey values stretched.
PREVIEW = "/instances/{}/preview"
# Of a study whose first images cannot be drawn, so many are tried for the thumbnail.
THUMBNAIL_CANDIDATES = 8


def describe(client: Client, identifier: str) -> Description | None:
    """Return id, title, description, licence, source, thumbnail (path, or empty where none can be drawn), series and
    instances (counts), modalities, whole_slide; None where there is no such study. Raises ServerError."""
    path = f"/studies/{identifier}"
    study = client.get(path)
    if study is None:
        return None
    words = client.get(f"{path}/metadata?expand") or {}
    series = sorted(client.get(f"{path}/series") or [], key=_series_order)
    tags = study.get("MainDicomTags", {})
    # Every slide is to be opened, not only the first.
    slides = [_open_slide(client, one) for one in series]
    whole_slide = True in slides
    return {
        "id": identifier,
        "title": words.get("Title") or tags.get("StudyDescription") or f"Study {identifier[:8]}",
        "description": words.get("Description", ""),
        "licence": words.get("Licence", ""),
        "source": words.get("Source", ""),
        "thumbnail": _thumbnail(client, series, whole_slide),
        "series": len(series),
        "instances": sum(len(one["Instances"]) for one in series),
        "modalities": sorted({one["MainDicomTags"].get("Modality", "") for one in series} - {""}),
        "whole_slide": whole_slide,
    }


def _open_slide(client: Client, series: dict) -> bool:
    """Return whether a series is a whole slide, and open it once.

    At the first opening of a slide Orthanc writes what it found into the database. Replicas cannot, and would answer
    that there is none; so this is asked of the primary, for every slide, before the public can.
    """
    if series["MainDicomTags"].get("Modality") != "SM" or not series["Instances"]:
        return False
    about = client.get(f"/instances/{series['Instances'][0]}/metadata?expand") or {}
    return about.get("SopClassUid") == WHOLE_SLIDE_CLASS and client.get(f"/wsi/pyramids/{series['ID']}") is not None


def _series_order(series: dict) -> tuple:
    return _number(series["MainDicomTags"].get("SeriesNumber")), series["ID"]


def _number(text: str | None) -> float:
    try:
        return float(text or "inf")
    except ValueError:
        return float("inf")


def _picture(client: Client, instance: str) -> str:
    """Return the path of an instance's picture: where a deep greyscale image names no window, THUMBNAIL is black."""
    tags = client.get(f"/instances/{instance}/simplified-tags") or {}
    grey = str(tags.get("PhotometricInterpretation", "")).startswith("MONOCHROME")
    black = grey and _number(tags.get("BitsStored")) > 8 and not tags.get("WindowCenter")
    return (PREVIEW if black else THUMBNAIL).format(instance)


def _can_draw(client: Client, path: str) -> bool:
    return client.request("GET", path, headers={"Accept": "image/jpeg"})[0] == 200


def _thumbnail(client: Client, series: list[dict], whole_slide: bool) -> str:
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
            path = _picture(client, instance["ID"])
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
