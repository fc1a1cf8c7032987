# SPDX-License-Identifier: BSD-3-Clause
"""What all cases here are given: a client with memory on a device that does DMA."""

from collections.abc import Iterator

import pytest
from dma import Guest, guest_of
from flight import canary
from mapping import SIZE
from spaces import SpaceGuest, paging_guest, space_guest


@pytest.fixture
def guest(connect) -> Iterator[Guest]:
    """A Guest on a session of its own; its side door is closed at the end."""
    one = guest_of(connect)
    yield one
    one.vdma.close()


@pytest.fixture
def vguest(connect) -> Iterator[SpaceGuest]:
    """The same with the vIOMMU extension, and PASID Enable set."""
    one = space_guest(connect)
    one.enable()
    yield one
    one.vdma.close()


@pytest.fixture
def paged(connect, fds) -> Iterator[SpaceGuest]:
    """The same whose device may ask for pages. Nothing is mapped, and the tables of its vIOMMU lead
    into SIZE bytes of memory, which are all canary."""
    memory = fds.memory(SIZE)
    memory.write(0, canary())
    one = paging_guest(connect, memory)
    yield one
    one.vdma.close()
