# SPDX-License-Identifier: BSD-3-Clause
"""Plays a workload (vuc.workload) on a server, and holds each operation to what it has to do: what
the device writes is in the guest's memory, what it reads is what the guest had put there, and what
is not mapped, or not for that access, it does not reach.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from errno import errorcode
from pathlib import Path
from typing import Any

from flooding import FULL, MAP, UNMAP, Scene
from mapping import PAGE

from vuc import Failure, Message
from vuc.exchange import Refusal
from vuc.flood import Flood, Stride
from vuc.session import VIOMMU, Connection
from vuc.vdma import SLOTS, Vdma, pattern
from vuc.workload import FILE, LARGEST, WORKLOADS, Op

sys.path.append(str(Path(__file__).resolve().parents[1] / "viommu"))

from spaces import CREDIT, SpaceGuest  # noqa: E402 - beside the cases that it was made for

SEED = 1
FAR = 1 << 44  # where no workload maps
DENSE = 256 / 1024  # KiB of a page far away, of which there are many
TOUCHED = (LARGEST + 2 * PAGE) / 1024  # KiB of the file that an operation brings in at the most
INVERTED = bytes(byte ^ 0xFF for byte in range(256))  # for bytes.translate


class Player:
    """A guest with one file of memory. unit: the operation that is done now, counted from 0."""

    def __init__(self, session: Connection, memory: Any, overcommits: bool = False):
        self.session = session
        self.memory = memory
        self.overcommits = overcommits
        self.device = Vdma(session)
        self.held: dict[int, Op] = {}
        self.filled = 0
        self.unit = 0
        self.refused_at: int | None = None
        self.errnos: dict[str, int] = {}
        self.kinds: Mapping[str, Callable[[Op], Any]] = {
            "map": self.map, "unmap": self.unmap, "read": self.read, "write": self.write,
            "no-read": self.misses, "no-write": self.misses,
        }

    def do(self, op: Op) -> bool:
        """Do it; False if it was refused, as it may be."""
        done = self.kinds[op.kind](op)
        self.unit += 1
        return done is not False

    def fill(self, room: int) -> None:
        """Map so many pages, far away, that there is room for that many more."""
        self.filled = max(self.session.limits.max_dma_maps - room, 0)
        self._flood(MAP)

    def _flood(self, what: Message) -> None:
        with Flood(self.session) as flood:
            took = flood.run(what, self.filled, strides=[Stride("address", FAR, PAGE)])
        if took.succeeded < self.filled:
            raise Failure("effect", f"{self.filled} are announced: {took.text()}")

    def replaces_one(self, room: int) -> bool:
        """Map as many pages as there still is room for; whether one more fits when one of those
        far away is given back."""
        place = [Stride("address", FAR, PAGE)]
        with Flood(self.session) as flood:
            took = flood.run(MAP, room + 1, first=self.filled, strides=place)
            if took.first_refused is None:
                raise Failure("effect", f"beyond what was announced: {took.text()}")
            flood.run(UNMAP, 1, strides=place)
            again = flood.run(MAP, 1, first=took.first_refused, strides=place)
            flood.run(UNMAP, room + 1, first=self.filled, strides=place)
            flood.run(MAP, 1, strides=place)
        return again.succeeded == 1

    def end(self) -> None:
        """Give back what is mapped."""
        for one in list(self.held.values()):
            self.unmap(one)
        if self.filled:
            self._flood(UNMAP)

    def close(self) -> None:
        """Nothing but the session is open."""
        self.device.close()

    # ---- the operations ----

    def map(self, op: Op) -> bool:
        """Map it, with the file."""
        sent = self.session.send("DMA_MAP", [self.memory], flags=op.flags, offset=op.offset,
                                 address=op.address, size=op.size)
        if not self.overcommits:
            self.session.success(sent)
        elif isinstance(reply := self.session.reply(sent), Refusal):
            self._refused(reply)
            return False
        self.held[op.address] = op
        return True

    def _refused(self, reply: Refusal) -> None:
        if reply.errno not in FULL:
            raise Failure("reply.errno", reply.text(), requirement="LIM-REFUSE-001",
                          allowed="an errno that says that there is no room")
        name = errorcode.get(reply.errno, str(reply.errno))
        self.errnos[name] = self.errnos.get(name, 0) + 1
        if self.refused_at is None:
            self.refused_at = self.unit
        if not self.held:
            raise Failure("effect", "with nothing mapped there is no room for one",
                          requirement="LIM-RECOVER-001")

    def unmap(self, op: Op) -> None:
        """Unmap exactly this."""
        self.session.call("DMA_UNMAP", address=op.address, size=op.size)
        del self.held[op.address]

    def run(self, name: str, op: Op, seed: int) -> str:
        """One operation of the device, in a slot of its turn; the state that it ends in."""
        slot = self.device.slot(self.unit % SLOTS)
        return str(slot.run(name, src=op.address, dst=op.address, length=op.size, seed=seed))

    def write(self, op: Op) -> None:
        """The device fills it."""
        seed = self.unit & 0xFF
        self._done(self.run("FILL", op, seed), op)
        self._same(self.memory.read(op.offset, op.size), seed, op)

    def read(self, op: Op) -> None:
        """The device reads it into its buffer."""
        seed = self.unit & 0xFF
        data = pattern(seed, op.size)
        self.memory.write(op.offset, data)
        self.device.store(0, data[:256].translate(INVERTED))
        self._done(self.run("READ", op, seed), op)
        self._same(self.device.load(0, op.size), seed, op)

    def misses(self, op: Op) -> None:
        """The device can not reach it."""
        before = self.memory.read(op.offset, op.size)
        state = self.run("FILL" if op.kind == "no-write" else "READ", op, ~before[0] & 0xFF)
        if state == "DONE" or self.memory.read(op.offset, op.size) != before:
            raise self.session.failure("effect", f"{op}: the device reaches it: {state}")

    def _done(self, state: str, op: Op) -> None:
        if state != "DONE":
            raise self.session.failure("effect", f"{op}: {state}")

    def _same(self, data: bytes, seed: int, op: Op) -> None:
        if data != pattern(seed, op.size):
            raise self.session.failure("effect", f"{op}: other bytes")


class Paging(Player):
    """A guest with processes, which brings a page in when the device asks for it."""

    def __init__(self, session: Connection, memory: Any):
        super().__init__(session, memory)
        self.guest = SpaceGuest(session)
        self.guest.iommu.memory = memory
        self.guest.enable(pages=CREDIT)
        self.device = self.guest.vdma
        self.kinds = {**self.kinds, "enter": self.enter, "invalidate": self.invalidate,
                      "end": self.leave}

    @property
    def tables(self) -> dict[int | None, dict[int, Any]]:
        """What the guest has in each space."""
        return self.guest.iommu.tables

    def end(self) -> None:
        """All processes end."""
        for pasid in list(self.tables):
            self.leave(Op("end", pasid=pasid))

    def enter(self, op: Op) -> None:
        """A page of a process, of which nobody tells the server."""
        self.guest.iommu.enter(op.address, op.size, offset=op.offset, pasid=op.pasid)

    def invalidate(self, op: Op) -> None:
        """A process gives a range back."""
        rows = self.tables.get(op.pasid, {})
        for address in [at for at in rows if op.address <= at < op.address + op.size]:
            del rows[address]
        self.guest.iommu.invalidate(op.address, op.size, op.pasid)

    def leave(self, op: Op) -> None:
        """A process ends."""
        self.tables.pop(op.pasid, None)
        self.guest.iommu.end(op.pasid)

    def run(self, name: str, op: Op, seed: int) -> str:
        return str(self.guest.fault(name, op.address, op.size, self.unit % SLOTS, seed=seed,
                                    pasid=op.pasid))


def play(scene: Scene, name: str, count: int, pages: int) -> None:
    """So many operations of a workload, with a point of the curve now and then; then all is given
    back, and the guest leaves."""
    what = WORKLOADS[name]
    memory = scene.fds.memory(FILE)
    if name == "sva":
        player = Paging(scene.connect(**VIOMMU), memory)
    else:
        player = Player(scene.connect(), memory, what.overcommits)
    scene.opened.callback(player.close)
    scene.attacked = scene.settled()
    if what.overcommits:
        player.fill(pages)
    steps = what.steps(SEED, pages)
    taken: bool | None = None  # as the first of a generator is asked for

    def act(_: int) -> None:
        nonlocal taken
        taken = player.do(steps.send(taken))

    scene.each(count, act)
    scene.record.refused_at, scene.record.errnos = player.refused_at, player.errnos
    held = len(player.held) / count
    scene.bounded(count, shmem=TOUCHED, anon=DENSE * player.filled / count, fds=held, vmas=held)
    if what.overcommits:
        scene.recovers_one(player.replaces_one(pages))
    player.end()
    scene.recovers("all")
    scene.served()
    scene.leaves(player)
