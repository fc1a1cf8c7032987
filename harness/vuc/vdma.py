# SPDX-License-Identifier: BSD-3-Clause
"""The test device vdma as a class: registers by name, slots, the side door, guest memory.

    vdma = Vdma(session)
    slot = vdma.slot(0)
    slot.start("WRITE", dst=0x10000, length=4096, hold="POST")
    assert slot.wait() == "HELD@POST"
    slot.step()
    assert slot.wait() == "DONE"

Everything goes by region messages on the session, so it is ordered with what the case sends; only
the side door (release, door_state) works while an earlier command holds the socket back. The
engine of the device may run behind the reply to the write that starts it: wait() asks STATE, a
round trip each time, until it is stable. reference-server/README.md describes the device.
Lengths and offsets are bytes, DRAIN_MS is milliseconds. Nothing here is owned but the mapping of
the side door; close() (or the end of a `with`) gives it back.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Collection
from dataclasses import dataclass
from errno import EFAULT, errorcode
from time import monotonic
from typing import Any, Protocol

from .duration import long
from .exchange import Request
from .failure import Failure
from .message import Message, message
from .schema import BY_NUMBER, PASID_SHIFT, constants, pasid_word
from .session import Connection

SLOTS = 8
BUFFER = 0x10000
BUFFER_SIZE = 0x10000
# The bytes of one store: a socket hands so few over as a whole. That a server puts together what
# comes in pieces is for other cases to show.
PIECE = 0x4000
PATTERN_STEP = 0x9D
PERIOD = 256
_PATTERN = bytes(i * PATTERN_STEP & 0xFF for i in range(PERIOD))

REGISTERS = {
    "MAGIC": 0x00, "INFO": 0x04, "CAPS": 0x08, "GCTL": 0x0C, "IRQ": 0x10,
    "CKOFF": 0x14, "CKLEN": 0x18, "CKSUM": 0x1C, "PR_TIMEOUT": 0x20, "DRAIN_MS": 0x24,
    "STARTED": 0x28, "DONE": 0x2C, "FAULTED": 0x30, "ABORTED": 0x34, "REQUESTS": 0x38,
    "RESPONSES": 0x3C, "BAD_RESPONSES": 0x40, "UNMAPS": 0x44, "ATC_HITS": 0x48, "ATC_DROPS": 0x4C,
    "GO": 0x50, "EVHEAD": 0x54,
}  # fmt: skip
COUNTERS = ("STARTED", "DONE", "FAULTED", "ABORTED", "REQUESTS", "RESPONSES", "BAD_RESPONSES",
            "UNMAPS", "ATC_HITS", "ATC_DROPS")  # fmt: skip
CAPS = {"DIRECT": 1, "MESSAGES": 2, "PASID": 4, "PRI": 8, "DOOR": 16, "ATC": 32}
FREEZE = 2  # in GCTL

SLOT_BASE, SLOT_SIZE = 0x100, 0x40
SLOT_REGISTERS = {
    "CMD": (0x00, 4), "CTL": (0x04, 4), "SRC": (0x08, 8), "DST": (0x10, 8), "LEN": (0x18, 4),
    "MID": (0x1C, 4), "BUF": (0x20, 4), "PAT": (0x24, 4), "COUNT": (0x28, 4),
    "STRIDE": (0x2C, 4), "STATE": (0x30, 4), "MOVED": (0x34, 4), "CSUM": (0x38, 4),
    "STEP": (0x3C, 4),
}  # fmt: skip
VIEW_BASE, VIEW_SIZE = 0x300, 0x20
VIEW = {"FADDR": (0x00, 8), "COOKIE": (0x08, 4), "RESP": (0x0C, 4), "NREQ": (0x10, 4),
        "NRETRY": (0x14, 4), "LASTSEQ": (0x18, 8)}  # fmt: skip
RING, RING_LENGTH, EVENT_SIZE = 0x800, 128, 16

OPS = {"NOP": 0, "READ": 1, "WRITE": 2, "COPY": 3, "TOUCH": 4, "FILL": 5, "CHECK": 6}
PATHS = {"auto": 0, "direct": 1, "messages": 2}
CMD_PAGES, CMD_IRQ, CMD_TRANSLATE, CMD_ARMED = 1 << 6, 1 << 7, 1 << 9, 1 << 10
HOLDS = ("PRE", "POST", "MID", "END", "RETIRED", "PREREQ", "POSTRESP")
CTL_DRAIN = 1 << 8
CTL_RETRIES = 24  # where the limit of page requests for one miss begins
STATES = ("IDLE", "QUEUED", "RUN", "HELD", "WAIT_PAGE", "WAIT_MSG", "DONE", "FAULT", "ABORTED")
TERMINAL = frozenset({"IDLE", "DONE", "FAULT", "ABORTED"})
STABLE = TERMINAL | {"HELD", "WAIT_PAGE", "WAIT_MSG"}
STEPS = {"next": 1, "end": 2, "abort": 3}
EVENTS = {1: "start", 2: "ref", 3: "xlat", 4: "first", 5: "last", 6: "retire", 7: "report",
          8: "req", 9: "resp", 10: "unmap-begin", 11: "unmap-quiet", 12: "irq", 13: "reset",
          14: "stop"}  # fmt: skip

DOOR_REGION = constants.REGION_INDEX.BAR2
DOOR_SIZE = 0x1000
DOOR_STATE = 0x40


class Bytes(Protocol):
    """Guest memory: evidence.Memory, or anything that reads and writes like it."""

    size: int

    def read(self, offset: int, size: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...


@dataclass(frozen=True)
class State:
    """STATE of a slot. Compares with text: "DONE", "HELD@MID", "FAULT ENOENT" (parts may be left
    out behind: "HELD" and "FAULT" match any)."""

    name: str
    hold: str = ""
    errno: int = 0

    @classmethod
    def of(cls, value: int) -> State:
        """The state that the value of the register stands for."""
        number, hold = value & 0xFF, value >> 8 & 0xFF
        name = STATES[number] if number < len(STATES) else f"state-{number}"
        held = HOLDS[hold] if name == "HELD" and hold < len(HOLDS) else ""
        return cls(name, held, value >> 16)

    def __str__(self) -> str:
        hold = f"@{self.hold}" if self.hold else ""
        reason = f" {errorcode.get(self.errno, self.errno)}" if self.errno else ""
        return f"{self.name}{hold}{reason}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other in (self.name, str(self))
        return isinstance(other, State) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True)
class Event:
    """One event of the ring: its number, what, which slot, its argument, and the PASID (0 without
    one)."""

    seq: int
    name: str
    slot: int
    arg: int
    pasid: int = 0


def pattern(seed: int, size: int, start: int = 0) -> bytes:
    """What FILL writes and CHECK wants: byte i is (seed + i * 0x9d) & 0xff, from `start` on."""
    at = (_PATTERN.index(seed & 0xFF) + start) % PERIOD
    return (_PATTERN * (size // PERIOD + 2))[at : at + size]


class Slot:
    """One slot; see Vdma.slot()."""

    def __init__(self, vdma: Vdma, number: int):
        self.vdma = vdma
        self.number = number

    def read(self, name: str) -> int:
        """A register of the slot by name, or of its fault view."""
        if name in VIEW:
            offset, width = VIEW[name]
            return self.vdma.read_at(VIEW_BASE + VIEW_SIZE * self.number + offset, width)
        offset, width = SLOT_REGISTERS[name]
        return self.vdma.read_at(self._place(offset), width)

    def write_message(self, name: str, value: int, **header: Any) -> Message:
        """The message that writes a register of the slot, for cases that send it themselves."""
        offset, width = SLOT_REGISTERS[name]
        return self.vdma.write_message_at(self._place(offset), value, width, **header)

    def write(self, name: str, value: int) -> None:
        """Write a register of the slot by name."""
        self.vdma.session.call(self.write_message(name, value))

    def _place(self, offset: int) -> int:
        return SLOT_BASE + SLOT_SIZE * self.number + offset

    def prepare(self, op: str, *, src: int = 0, dst: int = 0, length: int = 0, mid: int = 0,
                buf: int = 0, seed: int = 0, count: int = 1, stride: int = 0, hold: str = "",
                drain: bool = False, path: str = "auto", vector: int | None = None,
                armed: bool = False, pasid: int | None = None, pages: bool = False,
                translate: bool = False, retries: int = 0, bits: int = 0) -> Message:
        """Write all registers but CMD; the message that writes CMD, which starts the operation.

        op: a key of OPS; hold: names of HOLDS joined by '|'; drain: the policy is to drain, not to
        abort; path: a key of PATHS; vector: of MSI-X, raised at the end; armed: waits for go();
        pasid: the space, None for the one without; pages: it may ask for pages, at most `retries`
        times behind the first for one miss (0: as the device likes); translate: that are in the
        tables already; bits: further bits of CMD.
        """
        control = sum(1 << HOLDS.index(name) for name in hold.split("|") if name)
        control |= (CTL_DRAIN if drain else 0) | (vector or 0) << 16 | retries << CTL_RETRIES
        for name, value in (("CTL", control), ("SRC", src), ("DST", dst), ("LEN", length),
                            ("MID", mid), ("BUF", buf), ("PAT", seed), ("COUNT", count),
                            ("STRIDE", stride)):
            self.write(name, value)
        command = OPS[op] | PATHS[path] << 4 | pasid_word(pasid) | bits
        command |= (CMD_PAGES if pages else 0) | (CMD_TRANSLATE if translate else 0)
        command |= (0 if vector is None else CMD_IRQ) | (CMD_ARMED if armed else 0)
        return self.write_message("CMD", command)

    def start(self, op: str, **fields: Any) -> None:
        """Start an operation; fields as in prepare()."""
        self.vdma.session.call(self.prepare(op, **fields))

    def run(self, op: str, **fields: Any) -> State:
        """Start an operation and wait for its end, which has to come without help."""
        self.start(op, **fields)
        return self.wait(TERMINAL)

    def state(self) -> State:
        """The state now."""
        return State.of(self.read("STATE"))

    def moved(self) -> int:
        """Bytes that the last operation has moved so far."""
        return self.read("MOVED")

    def wait(self, until: Collection[str] = STABLE) -> State:
        """The first state whose name is in `until`. Between two looks lies a round trip; a
        Failure after the long duration."""
        end = monotonic() + long()
        while (state := self.state()).name not in until:
            if monotonic() > end:
                raise self.vdma.session.failure(
                    "reply.missing", f"slot {self.number} gets no further",
                    allowed=" or ".join(sorted(until)), came=str(state))
        return state

    def step(self, how: str = "next") -> None:
        """Let a held operation go on to the "next" hold point or to the "end", or "abort" it."""
        self.write("STEP", STEPS[how])

    def release(self, how: str = "next") -> None:
        """The same by the side door, which does not use the socket."""
        self.vdma.door()[4 * self.number:4 * self.number + 4] = _number(STEPS[how], 4)

    def door_state(self) -> State:
        """The state as the side door shows it."""
        at = DOOR_STATE + 4 * self.number
        return State.of(int.from_bytes(self.vdma.door()[at:at + 4], sys.byteorder))


class Vdma:
    """The test device behind a negotiated session. Ask device.has("provoke_dma") before."""

    def __init__(self, session: Connection):
        self.session = session
        self._door: mmap.mmap | None = None

    def __enter__(self) -> Vdma:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the mapping of the side door back. Twice is fine."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def slot(self, number: int = 0) -> Slot:
        """Slot 0 to 7."""
        if not 0 <= number < SLOTS:
            raise ValueError(f"no slot {number}")
        return Slot(self, number)

    # ---- registers ----

    def read_at(self, offset: int, width: int = 4) -> int:
        """The number at that place of BAR0."""
        reply = self.session.call("REGION_READ", region=0, offset=offset, count=width)
        return int.from_bytes(reply.data, sys.byteorder)

    def write_message_at(self, offset: int, value: int, width: int = 4, **header: Any) -> Message:
        """The message that writes a number to that place of BAR0."""
        return message("REGION_WRITE", region=0, offset=offset, data=_number(value, width),
                       **header)

    def read(self, name: str) -> int:
        """A register by name."""
        return self.read_at(REGISTERS[name])

    def write(self, name: str, value: int) -> None:
        """Write a register by name."""
        self.session.call(self.write_message_at(REGISTERS[name], value))

    def can(self, name: str) -> bool:
        """Is the bit of CAPS set? A key of CAPS."""
        return bool(self.read("CAPS") & CAPS[name])

    def go(self, *slots: int) -> None:
        """Start the armed operations of these slots with one write."""
        self.write("GO", sum(1 << number for number in slots))

    def freeze(self, on: bool = True) -> None:
        """While frozen, new operations stay QUEUED."""
        self.write("GCTL", FREEZE if on else 0)

    def counters(self) -> dict[str, int]:
        """All counters by name."""
        return {name: self.read(name) for name in COUNTERS}

    # ---- the device buffer ----

    def load(self, offset: int, size: int) -> bytes:
        """Bytes of the device buffer."""
        return self.session.call("REGION_READ", region=0, offset=BUFFER + offset, count=size).data

    def store(self, offset: int, data: bytes) -> None:
        """Store bytes to the device buffer, in pieces of at most PIECE bytes."""
        for at in range(0, len(data), PIECE):
            self.session.call("REGION_WRITE", region=0, offset=BUFFER + offset + at,
                              data=data[at : at + PIECE])

    # ---- events ----

    def events(self, since: int = 0) -> list[Event]:
        """The events from number `since` on that the ring still has, oldest first."""
        head = self.read("EVHEAD")
        return [self._event(seq) for seq in range(max(since, head - RING_LENGTH), head)]

    def _event(self, number: int) -> Event:
        at = RING + EVENT_SIZE * (number % RING_LENGTH)
        head, arg = self.read_at(at, 8), self.read_at(at + 8, 8)
        halves = _number(head, 8)
        seq, word = (int.from_bytes(half, sys.byteorder) for half in (halves[:4], halves[4:]))
        return Event(seq, EVENTS.get(word & 0xFF, f"event-{word & 0xFF}"), word >> 8 & 0xF, arg,
                     word >> PASID_SHIFT)

    # ---- the side door ----

    def door(self) -> mmap.mmap:
        """The page of the side door, mapped when it is first asked for: do that before a command
        holds the socket back."""
        if self._door is None:
            reply = self.session.call("DEVICE_GET_REGION_INFO", index=DOOR_REGION)
            if not reply.fds:
                raise self.session.failure("reply.field", "the side door without a descriptor",
                                           came=reply.text())
            self._door = mmap.mmap(reply.fds[0].fileno(), DOOR_SIZE, offset=reply.offset)
        return self._door


def _number(value: int, width: int) -> bytes:
    return value.to_bytes(width, sys.byteorder)


def answer(session: Connection, request: Request, memory: Bytes, base: int = 0) -> None:
    """Answer one DMA_READ or DMA_WRITE out of guest memory whose first byte is at `base`; outside
    of it with EFAULT."""
    at, size = request.address - base, request.count
    if at < 0 or at + size > memory.size:
        session.answer(request, errno=EFAULT)
    elif BY_NUMBER[request.header.command].name == "DMA_READ":
        session.answer(request, data=memory.read(at, size))
    else:
        memory.write(at, request.data)
        session.answer(request)


def serve(slot: Slot, memory: Bytes, base: int = 0) -> tuple[State, list[Request]]:
    """Answer the messages of a slot's operation until it needs no more; its state then, and the
    requests. Only for one operation at a time: another one's requests are answered as well."""
    session, requests = slot.vdma.session, []
    end = monotonic() + long()
    while (state := slot.wait()) == "WAIT_MSG":
        # On a twin socket the last answer may still be on its way when the state is asked.
        if (request := _request_now(session)) is not None:
            requests.append(request)
            answer(session, request, memory, base)
            end = monotonic() + long()
        elif monotonic() > end:
            raise session.failure("reply.missing", f"slot {slot.number} waits for no message",
                                  allowed="a command of the server", came=str(state))
    return state, requests


def _request_now(session: Connection) -> Request | None:
    try:
        return session.take_request(timeout=0)
    except Failure as failure:
        if failure.code != "reply.missing":
            raise
        return None
