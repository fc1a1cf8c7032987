# SPDX-License-Identifier: BSD-3-Clause
"""Memory that is slow without end: the row of README.md about files of the client's own file
system, which answers when it likes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from mapping import BASE, PAGE, RW
from stuck import StuckFile

from vuc import covers, needs
from vuc.vdma import Vdma

pytestmark = needs("process", "proc", "reconnect", "concurrent", "dma_maps", "provoke_dma",
                   "drain_option")

PAGES = 16
STUCK = 2 * PAGE
DRAIN_LIMIT = 100  # ms


@pytest.fixture
def stuck_file() -> Iterator[Callable[[], StuckFile]]:
    """Makes such files. Their end comes before that of the server, which could not be ended while
    one of its threads waits for them."""
    with ExitStack() as files:

        def make() -> StuckFile:
            try:
                return files.enter_context(StuckFile(PAGES * PAGE, STUCK))
            except OSError as error:
                pytest.skip(f"needs: a file system of the case's own, by FUSE: {error.strerror}")

        yield make


@covers("LIM-OTHERS-001", "LIM-BOUND-001", "LIM-RECOVER-001", "VIO-UNMAP-008")
def test_x16_page_that_never_comes_costs_the_client_that_owns_it(scene, stuck_file):
    scene.record.optional = True
    held = [stuck_file()]
    scene.start("client", options=[f"--t-drain={DRAIN_LIMIT}"])
    place, count = {"address": BASE, "size": PAGES * PAGE}, scene.count(4, 2)

    def act(number):
        file = held[number]
        session = scene.connect()
        session.call("DMA_MAP", [file], flags=RW, **place)
        slot = Vdma(session).slot()
        assert slot.run("READ", src=BASE, length=STUCK) == "DONE"
        slot.start("READ", src=BASE, length=PAGES * PAGE)
        assert file.asked(), "nobody touches the page"
        assert slot.state() == "RUN", "registers wait for a page, or the operation does not"
        session.expect_close(session.send("DMA_UNMAP", **place))
        held.append(stuck_file())

    scene.each(count, act)
    scene.bounded(count, threads=4, fds=4, vmas=24, anon=512, page_tables=64)
    with scene.target.negotiate() as session:
        session.barrier()
    scene.served()
    for file in held:
        file.release()
    scene.recovers("disconnect")
