# SPDX-License-Identifier: BSD-3-Clause
"""What all cases here are given: a client with memory on a device that does DMA."""

from collections.abc import Iterator

import pytest
from dma import Guest, guest_of


@pytest.fixture
def guest(connect) -> Iterator[Guest]:
    """A Guest on a session of its own; its side door is closed at the end."""
    one = guest_of(connect)
    yield one
    one.vdma.close()
