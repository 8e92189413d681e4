#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: storage_volumes
short_description: Format, mount and grow the volumes of a host
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Makes every volume of a host a mounted file system, from the device to the systemd mount unit, in one call.
  - A device is formatted only when it is blank, which means that neither C(blkid --probe) nor C(wipefs) knows a
    signature on it and that its first and last MiB are zero. Anything else is refused and not one byte of it is
    changed, unless I(volumes.wipe_signature) names exactly what is there.
  - All volumes are examined and all refusals reported before the first write to any of them.
  - A format that was cut, by a crash or a kill, is recognised and redone. The final label, C(ir-<name>), is written
    last; until then the file system is labelled C(ir~format) and the host keeps a note in
    C(/var/lib/imaging-repository/storage).
  - The mount units are not required by C(local-fs.target), so a missing volume never holds up a boot. Bind a service to
    its volume with C(RequiresMountsFor=), then it does not start on the empty directory below.
  - A file system grows online when its device has grown. The kernel is asked to look again at a device that is smaller
    than I(volumes.gib); how a partition or a logical volume is made larger is said. Nothing ever shrinks, and volumes that are no longer listed
    are left as they are.
options:
  volumes:
    description: The volumes of this host, such as C(host_volumes) of the inventory.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the volume. It becomes the label of the file system, by which a volume is known again on another
            host. C(ir-) and the name are cut to 12 characters for xfs and 16 for ext4; a longer one ends in four digits
            of a checksum.
        type: str
        required: true
      device:
        description:
          - Path of the device by identity, such as a link in C(/dev/disk/by-id). The path may be a pattern if exactly
            one device matches; links of partitions, C(*-part<N>), do not count then.
        type: path
        required: true
      mount:
        description: Where to mount it. A directory that does not exist is made; one that is not empty is refused.
        type: str
        required: true
      file_system:
        description: The file system to make. A volume that has the other one is refused.
        type: str
        choices: [xfs, ext4]
        default: xfs
      gib:
        description: The least size of the device in GiB. A smaller device is refused, a larger one used in full.
        type: int
        default: 0
      wipe_signature:
        description:
          - Exactly what is on the device and may be destroyed, in the words of the refusal, which are C(type:label),
            C(type:UUID) or C(type) where there is neither, joined by C(+) where there are several;
            C(unknown:checksum) is data without a known signature.
          - It has no effect on a volume that is already the site's own, so it may stay.
        type: str
        default: ''
      adopt:
        description: Name of the site whose volume this is so far; it is taken over from that one on purpose.
        type: str
        default: ''
      copy:
        description: The volume was made as a copy of another one, which may be of another site.
        type: bool
        default: false
  site:
    description:
      - Name of the site. A file C(.imaging-repository-volume) on each volume says of which site it is; one of another
        site is refused, one that says nothing is taken for this site's.
    type: str
    default: ''
  host:
    description: Name of this host in messages.
    type: str
    default: ''
  device_timeout_seconds:
    description: How long to wait for a device that was attached a moment ago.
    type: int
    default: 20
attributes:
  check_mode:
    description: Reports what would be done and writes nothing. The tools that make file systems need not be there.
    support: full
  diff_mode:
    description: One line for each volume, before and after.
    support: full
requirements:
  - systemd
  - util-linux
  - xfsprogs for xfs
  - e2fsprogs for ext4
"""

EXAMPLES = r"""
- name: Mount the volumes of this host
  imaging.repository.storage_volumes:
    volumes: "{{ host_volumes }}"
    host: "{{ host_name }}"

- name: Mount one volume, and destroy the file system that a former owner left on it
  imaging.repository.storage_volumes:
    volumes:
      - name: data
        device: /dev/disk/by-id/virtio-3f2a8c1e-77b0-4a52-b
        mount: /srv/images
        gib: 1500
        wipe_signature: ext4:old-data
"""

RETURN = r"""
volumes:
  description: What became of each volume, in the order of the call.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the volume., type: str, sample: data}
    device: {description: The device itself, type: str, sample: /dev/vdb}
    uuid: {description: UUID of the file system; empty before it is made., type: str}
    file_system: {description: The file system., type: str, sample: xfs}
    label: {description: Label of the file system., type: str, sample: ir-data}
    mount: {description: The mount point., type: str, sample: /srv/images}
    unit: {description: The systemd unit that mounts it., type: str, sample: srv-images.mount}
    size_bytes: {description: Size of the device in bytes., type: int, sample: 107374182400}
    actions:
      description: What was done, or would be done in check mode; any of C(wipe), C(format), C(unit), C(mount), C(mark),
        C(grow).
      type: list
      elements: str
      sample: [format, unit, mount]
"""

import contextlib
import os
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.storage import host as reader
from ..module_utils.storage import model, units, work
from ..module_utils.storage import plan as planning


def result_of(plan: model.Plan, device: model.Device) -> dict[str, object]:
    """A volume as the module returns it."""
    return {
        "name": plan.volume.name,
        "device": device.path,
        "uuid": plan.uuid,
        "file_system": plan.volume.file_system,
        "label": plan.label,
        "mount": plan.volume.mount,
        "unit": units.unit_name(plan.volume.mount),
        "size_bytes": device.size_bytes,
        "actions": list(plan.actions),
    }


def manage(module: AnsibleModule) -> dict[str, object]:
    """Examines all volumes, then changes what has to change; raises Failed with one line for each refusal."""
    host = module.params["host"]
    volumes = [
        model.Volume(site=module.params["site"], **{key: value for key, value in entry.items() if value is not None})
        for entry in module.params["volumes"]
    ]
    if found := planning.problems(volumes):
        raise reader.Failed("\n".join(found))
    deadline = time.monotonic() + module.params["device_timeout_seconds"]
    while not all(reader.device_paths(volume.device) for volume in volumes) and time.monotonic() < deadline:
        time.sleep(0.5)

    has_udev = os.path.exists("/run/udev/control")
    devices = {volume.name: reader.examine_device(module, volume) for volume in volumes}
    plans = {
        volume.name: planning.plan(volume, devices[volume.name], reader.examine_mount_point(volume), has_udev, host)
        for volume in volumes
    }
    refusals = planning.shared_devices(volumes, devices) + [plan.refusal for plan in plans.values() if plan.refusal]
    if refusals:
        raise reader.Failed("\n".join(refusals))

    changed = any(plan.actions for plan in plans.values())
    diff = {key: "".join(f"{getattr(plan, key)}\n" for plan in plans.values()) for key in ("before", "after")}
    if changed and not module.check_mode:
        if not os.path.isdir("/run/systemd/system"):
            raise reader.Failed("storage: volumes are mounted by systemd, which does not run on this host.")
        for volume in planning.in_order(volumes):
            try:
                plans[volume.name] = work.apply(module, plans[volume.name], devices[volume.name], has_udev)
            except (reader.Failed, OSError) as error:
                subject = f"storage: volume {volume.name}{' of ' + host if host else ''} (device {volume.device})"
                raise reader.Failed(f"{subject}: {error}. Run again when the cause is gone.") from error
    return {
        "changed": changed,
        "diff": diff,
        "volumes": [result_of(plans[volume.name], devices[volume.name]) for volume in volumes],
    }


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "volumes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "device": {"type": "path", "required": True},
                    "mount": {"type": "str", "required": True},
                    "file_system": {"type": "str", "choices": ["xfs", "ext4"], "default": "xfs"},
                    "gib": {"type": "int", "default": 0},
                    "wipe_signature": {"type": "str", "default": ""},
                    "adopt": {"type": "str", "default": ""},
                    "copy": {"type": "bool", "default": False},
                },
            },
            "site": {"type": "str", "default": ""},
            "host": {"type": "str", "default": ""},
            "device_timeout_seconds": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LANGUAGE": "C", "LC_ALL": "C"}
    try:
        with contextlib.nullcontext() if module.check_mode else work.locked():
            result = manage(module)
    except (reader.Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
