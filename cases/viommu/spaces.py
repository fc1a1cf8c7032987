# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about the vIOMMU extension share: a client that has negotiated it, with ranges and
operations in spaces of their own, and the service of page requests.

A SpaceGuest is a Guest whose ranges lie in spaces. What it is asked for by DMA_READ and DMA_WRITE
is judged in the space that the attribute word names; page requests go to its vIOMMU, which serves
them by its policy. Addresses and sizes are bytes; PASID None is the space without one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from dma import TWIN_OFFER, Guest, Range
from flight import canary
from mapping import BASE, RW, SIZE

from vuc import Message
from vuc.device import CONFIG
from vuc.exchange import Refusal, Reply, Request, Sent
from vuc.schema import EXTENSION
from vuc.session import DEFAULT, VIOMMU, Connection
from vuc.vdma import TERMINAL, State
from vuc.viommu import POC_PAGE_REQUEST, Group, Viommu, halves, word

P1, P2, P3 = 3, 4, 0x1234
PAGE_REQUEST = EXTENSION["PAGE_REQUEST"].number

# Extended capabilities: ids, and offsets in each.
ATS, PRI, PASID = 0x0F, 0x13, 0x1B
ATS_CAPABILITY, ATS_CONTROL, ATS_ENABLE = 4, 6, 1 << 15
PRI_CONTROL, PRI_STATUS, PRI_CAPACITY, PRI_ALLOCATION = 4, 6, 8, 12
PRI_ENABLE, PRI_RESET = 1, 2
RESPONSE_FAILURE, UNEXPECTED, STOPPED = 1, 2, 1 << 8
PASID_CAPABILITY, PASID_CONTROL = 4, 6
RETRIES = 3  # page requests behind the first for one miss
CREDIT = 64
EXTENDED, CAPABILITY_HEADER = 0x100, 4
COMMAND, BUS_MASTER = 4, 1 << 2


@dataclass
class SpaceRange(Range):
    """A range in the space of a PASID."""

    pasid: int | None = None


class SpaceGuest(Guest):
    """A Guest with the extension. `iommu` serves its page requests."""

    def __init__(self, session: Any):
        super().__init__(session)
        self.iommu = Viommu(self, poc=session.poc)
        self.asked_in: int | None = None  # the space of the request that is looked at

    # ---- its memory ----

    def map(self, address: int = BASE, size: int = SIZE, memory: Any = None, *, flags: str = RW,
            offset: int = 0, pasid: int | None = None) -> SpaceRange:
        """As a Guest does, in the space of the PASID."""
        self.call("DMA_MAP", [] if memory is None else [memory], flags=word(flags, pasid),
                  offset=offset, address=address, size=size)
        return self.add(SpaceRange(address, size, flags, memory, offset, pasid=pasid))

    def map_canary(self, fds: Any, address: int = BASE, size: int = SIZE, **how: Any) -> SpaceRange:
        """Map new memory, all canary."""
        memory = fds.memory(size)
        memory.write(0, canary(size))
        return self.map(address, size, memory, **how)

    def replace(self, one: SpaceRange, memory: Any = None, flags: str = RW,
                offset: int = 0) -> SpaceRange:
        """Replace a mapping, which has to succeed."""
        new = SpaceRange(one.address, one.size, flags, memory, offset, pasid=one.pasid)
        self.success(self.ask_replace(one, memory, flags, offset))
        self.ranges[self.ranges.index(one)] = new
        return new

    def ask_replace(self, one: SpaceRange, memory: Any = None, flags: str = RW,
                    offset: int = 0) -> Sent:
        """Send the same."""
        return self.session.send("DMA_MAP", [] if memory is None else [memory], offset=offset,
                                 flags=word(f"{flags}|REPLACE", one.pasid), address=one.address,
                                 size=one.size)

    def ask_unmap(self, one: SpaceRange, names: str = "") -> Sent:
        """Send the DMA_UNMAP of a range; with ALL of its space."""
        address, size = (0, 0) if names == "ALL" else (one.address, one.size)
        return self.session.send("DMA_UNMAP", flags=word(names, one.pasid), address=address,
                                 size=size)

    def unmap(self, one: Range) -> None:
        self.unmapped(one, self.ask_unmap(one))

    def pieces(self, address: int, size: int, flag: str) -> Iterator[tuple[Range, int, int]]:
        ranges, space = self.ranges, self.asked_in
        self.ranges = [one for one in ranges if getattr(one, "pasid", None) == space]
        try:
            yield from list(super().pieces(address, size, flag))
        finally:
            self.ranges = ranges

    # ---- what it is asked for ----

    def judge(self, request: Request) -> list[tuple[Range, int, int]]:
        count, self.asked_in = halves(request.count, self.session.poc)
        shown = SimpleNamespace(**{**vars(request), "count": count, "address": request.address,
                                   "text": request.text})
        return super().judge(shown)

    def data_for(self, request: Request) -> bytes:
        parts = self.judge(request)
        if request.data:
            for one, address, size in parts:
                at = address - request.address
                one.write(address, request.data[at : at + size])
            return b""
        return b"".join(one.read(address, size) for one, address, size in parts)

    def answer(self, request: Request) -> None:
        if request.header.command in (PAGE_REQUEST, POC_PAGE_REQUEST):
            self.requests.remove(request)
            if self.session.poc:
                self.session.answer(request)
            self.iommu.requested(request)
        else:
            super().answer(request)

    def reply(self, sent: Sent) -> Reply | Refusal:
        """As a Guest does; what was sent before the reply has been taken in when this returns."""
        reply = super().reply(sent)
        self.serve()
        return reply

    def asked_nothing(self) -> None:
        """No command of the server comes any more but stop markers."""
        before = len(self.iommu.requests), len(self.requests)
        self.barrier()
        assert (len(self.iommu.requests), len(self.requests)) == before, "the server asks"

    # ---- questions, as a Connection has them ----

    def send(self, *arguments: Any, **fields: Any) -> Sent:
        """As the session's."""
        return self.session.send(*arguments, **fields)

    def refuse(self, *arguments: Any, **fields: Any) -> Any:
        """As the session's."""
        return self.session.refuse(*arguments, **fields)

    # ---- its device ----

    def enable(self, *, pasid: bool = True, pages: int = 0) -> None:
        """Set PASID Enable, or clear it, and for page requests set ATS Enable, PRI Enable, Bus
        Master Enable and an allocation of so many pages."""
        if at := self.capability(PASID):
            self.write_config(at + PASID_CONTROL, int(pasid))
        if pages:
            self.reset_pri()
            self.write_config(COMMAND, self.read_config(COMMAND) | BUS_MASTER)
            self.write_config(self.capability(ATS) + ATS_CONTROL, ATS_ENABLE)
            self.allocate(pages)
            self.write_config(self.pri + PRI_CONTROL, PRI_ENABLE)

    @cached_property
    def pri(self) -> int:
        """The offset of PRI in the configuration space."""
        return self.capability(PRI)

    def reset_pri(self) -> None:
        """Reset the interface of page requests, and clear its errors; it is disabled then."""
        self.write_config(self.pri + PRI_CONTROL, PRI_RESET)
        self.write_config(self.pri + PRI_STATUS, RESPONSE_FAILURE | UNEXPECTED)

    def allocate(self, pages: int) -> None:
        """Let it ask for so many pages at a time."""
        self.write_config(self.pri + PRI_ALLOCATION, pages, 4)

    def status(self) -> int:
        """Page Request Status."""
        return self.read_config(self.pri + PRI_STATUS)

    # ---- operations that ask for pages ----

    def ask(self, op: str, address: int, size: int, slot: int = 0, **how: Any) -> Message:
        """What prepare() makes, of an operation that may ask for pages."""
        return self.prepare(op, address, size, slot, **{"pages": True, "retries": RETRIES, **how})

    def fault(self, op: str, address: int, size: int, slot: int = 0, **how: Any) -> State:
        """Start such an operation, and serve it to its end."""
        self.call(self.ask(op, address, size, slot, **how))
        return self.wait(slot)

    def waits(self, op: str, address: int, size: int, slot: int = 0, **how: Any) -> Group:
        """Start it, and see that it waits for a page: its group, which is not answered unless the
        policy does."""
        before = len(self.iommu.requests)
        self.call(self.ask(op, address, size, slot, **how))
        state = self.wait(slot, TERMINAL | {"WAIT_PAGE"})
        assert state == "WAIT_PAGE", f"it does not wait for a page but is {state}"
        self.barrier()
        came = self.iommu.requests[before:]
        assert len(came) == 1, f"{len(came)} groups came"
        return came[0]

    def capability(self, wanted: int) -> int:
        """The offset of an extended capability in the configuration space; 0 if it has none."""
        at = EXTENDED
        while at:
            head = self.read_config(at, CAPABILITY_HEADER)
            if head & 0xFFFF == wanted:
                return at
            at = head >> 20 & ~3
        return 0

    def read_config(self, offset: int, width: int = 2) -> int:
        """A number of the configuration space."""
        reply = self.call("REGION_READ", region=CONFIG, offset=offset, count=width)
        return int.from_bytes(reply.data, sys.byteorder)

    def write_config(self, offset: int, value: int, width: int = 2) -> None:
        """Write it."""
        self.call("REGION_WRITE", region=CONFIG, offset=offset,
                  data=value.to_bytes(width, sys.byteorder))


def offer(twin: bool = False, **changes: Any) -> dict[str, Any]:
    """The capabilities of a client with the extension; `changes` to its members, where None leaves
    one out."""
    members = {**VIOMMU["viommu"], **changes}
    members = {name: value for name, value in members.items() if value is not None}
    return {**(TWIN_OFFER if twin else VIOMMU), "viommu": members}


def paging_guest(connect: Any, memory: Any, twin: bool = False, pages: int = CREDIT) -> SpaceGuest:
    """A SpaceGuest whose device may ask for pages; its tables lead into the memory."""
    guest = space_guest(connect, twin)
    guest.iommu.memory = memory
    guest.enable(pages=pages)
    return guest


def space_session(connect: Any, twin: bool = False, **changes: Any) -> Connection:
    """A new session with the extension, or with its poc dialect where the server speaks that;
    `changes` as offer() takes them."""
    session = connect(version=False)
    if session.poc:
        session.speak_poc()
        session.negotiate(capabilities=TWIN_OFFER if twin else DEFAULT)
    else:
        session.negotiate(capabilities=offer(twin, **changes))
    if session.twin != twin or not (session.poc or session.viommu.get("version")):
        raise session.failure("reply.field", "viommu", came=str(session.negotiated))
    return session


def space_guest(connect: Any, twin: bool = False, **changes: Any) -> SpaceGuest:
    """A SpaceGuest on such a session."""
    return SpaceGuest(space_session(connect, twin, **changes))
