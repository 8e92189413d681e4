#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: openstack_image
short_description: Gives a cloud an image that was built here
version_added: 0.1.0
description:
  - Uploads a qcow2 file to the image service, unless the cloud has an image of that name and recipe.
  - An image never changes. One of the same name that was not made of O(recipe) is refused, never replaced.
  - An upload that was cut is begun again, one that another run has begun is waited for.
options:
  cloud:
    description: Name of the cloud in C(clouds.yaml).
    type: str
    required: true
  name:
    description: Name of the image.
    type: str
    required: true
  recipe:
    description: What the image was made of; marks it as ours.
    type: str
    required: true
  file:
    description: The qcow2 file. Read only where the cloud does not have the image.
    type: path
    required: true
  minimum_memory_mib:
    description: Memory in MiB that a server of this image must have.
    type: int
    default: 512
  properties:
    description: Further properties, as U(https://docs.openstack.org/glance/latest/admin/useful-image-properties.html).
    type: dict
    default: {}
  timeout_seconds:
    description: How long an upload may take.
    type: int
    default: 3600
attributes:
  check_mode:
    description: Reads only; returns the plan.
    support: full
  diff_mode:
    description: Shows the plan.
    support: full
requirements:
  - openstacksdk
author:
  - The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Give the cloud the image
  imaging.repository.openstack_image:
    cloud: embassy
    name: imaging-repository-debian-13-0ec8a7fca42a
    recipe: 0ec8a7fca42a43e86a836494
    file: .cache/images/imaging-repository-debian-13-0ec8a7fca42a.qcow2
    properties: {os_distro: debian, hw_disk_bus: scsi}
"""

RETURN = r"""
id:
  description: Id of the image; empty where it does not exist yet, which is possible in check mode only.
  returned: always
  type: str
plan:
  description: What was or would be done.
  returned: always
  type: list
  elements: dict
  contains:
    kind: {description: image., type: str}
    name: {description: Name of the image., type: str}
    action: {description: "keep, create, recreate or, in check mode while another run uploads it, unknown.", type: str}
    detail: {description: Why., type: str}
    id: {description: Id of the image that is there., type: str}
"""

import hashlib
import time

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.imaging.repository.plugins.module_utils import plan
from ansible_collections.imaging.repository.plugins.module_utils.openstack import image as images
from ansible_collections.imaging.repository.plugins.module_utils.openstack.cloud import HAS_OPENSTACK, Cloud, CloudError

POLL_SECONDS = 2
# Without a filter by status only finished images are listed.
UNFINISHED = "in:queued,saving,uploading,importing"
EVERY_STATUS = f"{UNFINISHED},active,deactivated,killed"


def find(cloud: Cloud, parameters: dict) -> dict:
    """Return the step that is to be done. Raises CloudError where an image in the way is not ours."""
    found = cloud.list("image", name=parameters["name"], status=EVERY_STATUS)
    step = images.decide(parameters["name"], parameters["recipe"], found)
    if step["action"] == "refuse":
        raise CloudError(f"image {step['name']}: {step['detail']}")
    return step


def find_settled(cloud: Cloud, parameters: dict) -> dict:
    """Return the step that is to be done once no other run uploads the image."""
    deadline = time.monotonic() + parameters["timeout_seconds"]
    while (step := find(cloud, parameters))["action"] == "unknown":
        if time.monotonic() > deadline:
            raise CloudError(
                f"image {step['name']}: {step['detail']} for {parameters['timeout_seconds']} s; if no other run uploads it, "
                f"remove it, then run this again: openstack image delete {step['id']}"
            )
        time.sleep(POLL_SECONDS)
    return step


def upload(cloud: Cloud, parameters: dict, step: dict) -> str:
    """Make the image and return its id once it is in use."""
    name, recipe = parameters["name"], parameters["recipe"]
    with open(parameters["file"], "rb") as file:
        size_gib = images.disk_gib(file.read(32))
        file.seek(0)
        content = hashlib.file_digest(file, "sha512").hexdigest()
        if step["action"] == "recreate":
            cloud.delete("image", step["id"])
        image = cloud.post(
            "image",
            "/images",
            images.body(name, recipe, content, size_gib, parameters["minimum_memory_mib"], parameters["properties"]),
            lambda: next(iter(cloud.list("image", name=name, status=UNFINISHED)), None),
        )
        file.seek(0)
        cloud.upload("image", f"/images/{image['id']}/file", file, parameters["timeout_seconds"])
    uploaded = find_settled(cloud, parameters)
    if uploaded["action"] != "keep":
        raise CloudError(f"image {name}: the upload was cut; run this again")
    return uploaded["id"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "cloud": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "recipe": {"type": "str", "required": True},
            "file": {"type": "path", "required": True},
            "minimum_memory_mib": {"type": "int", "default": 512},
            "properties": {"type": "dict", "default": {}},
            "timeout_seconds": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    if not HAS_OPENSTACK:
        module.fail_json(msg=missing_required_lib("openstacksdk"))
    try:
        cloud = Cloud(module.params["cloud"])
        step = find(cloud, module.params) if module.check_mode else find_settled(cloud, module.params)
        identifier = step["id"]
        if plan.writes([step]) and not module.check_mode:
            identifier = upload(cloud, module.params, step)
    except CloudError as error:
        module.fail_json(msg=str(error))
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{module.params['file']}: {error}; build the image with playbooks/image.yml")
    module.exit_json(
        changed=plan.writes([step]), id=identifier, plan=[step], diff={"before": "", "after": plan.table([step])}
    )


if __name__ == "__main__":
    main()
