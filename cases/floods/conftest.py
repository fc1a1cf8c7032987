# SPDX-License-Identifier: BSD-3-Clause
"""What all floods are given: a server of their own, and a scene to attack it on."""

from collections.abc import Iterator

import pytest
from flooding import Scene

from vuc.plugin import CASE


@pytest.fixture
def scene(request, private_target, fds, device, scale) -> Iterator[Scene]:
    """A Scene on a server of the case's own; what was measured goes to --limits."""
    row, _, rest = request.node.stash[CASE].id.rpartition("/")[2].partition("_")
    which = rest.partition("[")[2].rstrip("]")
    name = f"{row.upper()}-{which}" if which else row.upper()
    one = Scene(name, private_target, fds, device, scale)
    try:
        yield one
    finally:
        one.close()
        request.node.user_properties += [("figure limits", text) for text in one.figures()]
        if request.config.option.limits is not None and one.record.points:
            one.record.write(request.config.option.limits)
