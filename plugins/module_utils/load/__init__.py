# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The verb load: brings images to the primary and gives them to the image servers there, whatever these are."""
