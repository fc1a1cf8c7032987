# SPDX-License-Identifier: BSD-3-Clause
"""DMA without pause against a client that maps and unmaps: row B21 of the catalogue (README.md).

Nothing is held here, so an interleaving that no hold point knows is found by number alone. Each
round maps one range, starts two operations that write to it without end, unmaps it at another
moment than the round before, puts canaries into all of the memory at the reply, and looks at them
right before it maps the range again: a byte that differs was written behind the reply. Where
another range keeps the file in use, a late write goes there; where none does, it may meet nothing
at all and end the server. The client uses the plain socket and a mapping of its own, to be as fast
as the server.
"""

import mmap
import os
from contextlib import closing
from time import monotonic

import pytest
from flight import BARRIER
from mapping import BASE, PAGE, RW
from plain import Plain

from vuc import Failure, covers, message, needs
from vuc.duration import long

pytestmark = needs("dma_maps", "provoke_dma")

SECONDS = 60
AT_LEAST = 1  # second, whatever the scale
PAGES = 4
SIZE = PAGES * PAGE
WRITERS = (SIZE, 64)  # bytes of one pass: one slot mostly copies, one mostly looks up
ENDLESS = 0xFFFFFFFF  # times
CANARIES = [bytes([byte]) * SIZE for byte in (0xEE, 0x11)]
LOOKS = 1000  # at the memory, until the writers are started once more
MOMENTS = 8  # how many commands lie between the start of the writers and the unmap, at most


class Storm:
    """The rounds of one case, and what was done in them."""

    def __init__(self, guest, memory, ours):
        self.client = Plain(guest.session)
        self.fds = [memory.fileno()]
        self.ours = ours
        self.map = message("DMA_MAP", flags=RW, address=BASE, size=SIZE).bytes(1)
        self.unmap = message("DMA_UNMAP", address=BASE, size=SIZE).bytes(2)
        self.look = message("DEVICE_GET_INFO").bytes(3)
        # The other registers of a slot keep their values, so each round starts it by one write.
        self.starts = [guest.prepare("FILL", BASE, size, slot, count=ENDLESS).bytes(4 + slot)
                       for slot, size in enumerate(WRITERS)]
        self.rounds = self.owed = 0

    def send(self, *messages, fds=()):
        """Send them as one piece; their replies come with settle()."""
        if messages:
            self.client.send(b"".join(messages), fds)
        self.owed += len(messages)

    def settle(self):
        """Take the replies to all that was sent."""
        self.client.replies(self.owed)
        self.owed = 0

    def begin(self, canary):
        """Map the range, start the writers, and see them write. A writer that has just missed and
        not yet said so ignores its start, which is repeated therefore."""
        self.send(self.map, *self.starts, fds=self.fds)
        end, looks = monotonic() + long(), 0
        while self.ours[:SIZE] == canary:
            os.sched_yield()
            looks += 1
            if looks % LOOKS == 0:
                self.send(*self.starts)
                self.settle()
            if monotonic() > end:
                raise Failure("effect", f"nothing is written in round {self.rounds}")

    def end(self, moment):
        """Unmap it that many commands later, and wait for the reply."""
        self.send(*[self.look] * moment, self.unmap)
        self.settle()

    def watch(self, canary, moment):
        """Canaries all over the memory, and a look at them that many commands later."""
        self.ours[:SIZE] = canary
        self.send(*[self.look] * moment)
        self.settle()
        if self.ours[:SIZE] != canary:
            changed = sum(a != b for a, b in zip(self.ours[:SIZE], canary, strict=True))
            raise Failure("effect", f"{changed} bytes were written behind the reply to DMA_UNMAP, "
                          f"after {self.rounds} rounds", requirement=BARRIER)

    def run(self, seconds):
        """Rounds for that time."""
        end = monotonic() + seconds
        self.ours[:SIZE] = CANARIES[-1]
        while monotonic() < end:
            self.begin(CANARIES[(self.rounds + 1) % 2])
            self.end(self.rounds % MOMENTS)
            self.watch(CANARIES[self.rounds % 2], self.rounds // MOMENTS % 3)
            self.rounds += 1


@covers("VIO-ATC-002", "VIO-UNMAP-001", "DMA-UNMAP-006", "DMA-UNMAP-005")
@pytest.mark.parametrize("stays", [True, False], ids=["file-stays-in-use", "file-goes"])
def test_b21_no_canary_changes_between_the_reply_and_the_next_map(guest, fds, scale, request,
                                                                 stays):
    memory = fds.memory(2 * SIZE)
    if stays:
        guest.map(BASE + SIZE, SIZE, memory, offset=SIZE)
    with closing(mmap.mmap(memory.fileno(), SIZE)) as ours:
        storm = Storm(guest, memory, ours)
        try:
            storm.run(max(AT_LEAST, SECONDS * scale))
        finally:
            storm.client.close()
            request.node.user_properties[:] = [("figure maps and unmaps", storm.rounds)]
    for slot in range(len(WRITERS)):
        assert guest.wait(slot) in ("ABORTED", "FAULT")
