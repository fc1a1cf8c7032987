# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about device DMA share: a client that has memory, and what it is asked for.

A Guest maps ranges on one session, with a descriptor or without, starts operations of the test
device, and answers DMA_READ and DMA_WRITE from the bytes behind its ranges. Each command is judged
before it is answered: its form, its size, and that it lies in what is mapped and allows it. Some
servers do DMA while they execute a command and answer nothing before it is over, so a Guest that
waits for a reply answers what it is asked meanwhile. Addresses and sizes are bytes.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest
from mapping import BASE, RW, SIZE, map_range

from vuc import COMMANDS, Failure, Message, constants, needs
from vuc.duration import long, milliseconds, short
from vuc.evidence import Memory
from vuc.exchange import Refusal, Reply, Request, Sent
from vuc.schema import HEADER_SIZE
from vuc.session import DEFAULT, MAIN, TWIN, Connection
from vuc.vdma import BUFFER_SIZE, TERMINAL, Slot, State, Vdma, pattern

ACCESS_SIZE = 16  # of DMA_READ, of what precedes the data of DMA_WRITE, and of both replies
DMA_READ = COMMANDS["DMA_READ"].number
DMA_WRITE = COMMANDS["DMA_WRITE"].number
TWIN_OFFER = {**DEFAULT, "twin_socket": {"supported": True}}
GONE = ("reply.closed", "channel.framing")  # codes of a connection that the server has ended

on_each_socket = pytest.mark.parametrize(
    "twin", [False, pytest.param(True, marks=needs("twin"))], ids=["single", "twin"]
)
each_way = pytest.mark.parametrize(
    "shared, twin",
    [pytest.param(False, False, marks=needs("server_dma")),
     pytest.param(False, True, marks=needs("server_dma", "twin")), (True, False)],
    ids=["messages", "twin-messages", "with-fd"],
)
each_direction = pytest.mark.parametrize("op", ["READ", "WRITE"], ids=["read", "write"])

INVERTED = bytes(byte ^ 0xFF for byte in range(256))  # for bytes.translate
FAILED = ("FAULT", "ABORTED")  # states of an operation that is over and not done


# ---- memory of the client ----


@dataclass
class Range:
    """One mapped range: its bytes are in `memory` from `offset` on, or else in `content`."""

    address: int
    size: int
    flags: str = RW
    memory: Memory | None = None
    offset: int = 0
    content: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        if self.memory is None:
            self.content = bytearray(self.size)

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size

    def read(self, address: int, size: int) -> bytes:
        """What is at these addresses."""
        at = address - self.address
        if self.memory is not None:
            return self.memory.read(self.offset + at, size)
        return bytes(self.content[at : at + size])

    def write(self, address: int, data: bytes) -> None:
        """Store the bytes at that address."""
        at = address - self.address
        if self.memory is not None:
            self.memory.write(self.offset + at, data)
        else:
            self.content[at : at + len(data)] = data

    def fill(self, seed: int) -> bytes:
        """Fill all of it with the pattern of the seed; the pattern."""
        self.write(self.address, pattern(seed, self.size))
        return pattern(seed, self.size)

    def holds(self, data: bytes) -> bool:
        """Is that what is in all of it?"""
        return self.read(self.address, self.size) == data


class Guest:
    """A session with memory. `requests` are the commands of the server that came, in order."""

    def __init__(self, session: Connection, *, limit: int = DEFAULT["max_data_xfer_size"]):
        """`limit` is the max_data_xfer_size that the client announced."""
        self.session = session
        self.limit = limit
        self.vdma = Vdma(self)  # asks by call(), which serves
        self.ranges: list[Range] = []
        self.requests: list[Request] = []

    # ---- its memory ----

    def map(self, address: int = BASE, size: int = SIZE, memory: Memory | None = None, *,
            flags: str = RW, offset: int = 0) -> Range:
        """Map a range, which has to succeed; its bytes are zero, or those of the memory."""
        map_range(self.session, address, size, [] if memory is None else [memory], flags=flags,
                  offset=offset)
        return self.add(Range(address, size, flags, memory, offset))

    def add(self, one: Range) -> Range:
        """Answer for a range that is mapped by other means."""
        self.ranges.append(one)
        return one

    def unmap(self, one: Range) -> None:
        """Unmap it, which has to succeed; a command for it is wrong from then on."""
        self.unmapped(one, self.session.send("DMA_UNMAP", address=one.address, size=one.size))

    def unmapped(self, one: Range, sent: Sent) -> None:
        """The same with a DMA_UNMAP that was sent already."""
        self.success(sent)
        if self.session.twin:
            self.serve()  # what was sent before the reply may be read behind it
        self.ranges.remove(one)

    def pieces(self, address: int, size: int, flag: str) -> Iterator[tuple[Range, int, int]]:
        """The ranges that the addresses lie in, with address and size of each part. Failure where
        one of them is not mapped, or not for that access."""
        while size:
            one = next((r for r in self.ranges if r.address <= address < r.end), None)
            if one is None or flag not in one.flags:
                what = "is not mapped" if one is None else f"is mapped for {one.flags} only"
                raise self.session.failure("effect", f"the server accesses {address:#x}, which "
                                           f"{what}")
            part = min(size, one.end - address)
            yield one, address, part
            address, size = address + part, size - part

    # ---- what it is asked for ----

    def judge(self, request: Request) -> list[tuple[Range, int, int]]:
        """Is it a command that a server may send? The parts of memory that it is for."""
        reads = request.header.command == DMA_READ
        assert reads or request.header.command == DMA_WRITE, request.text()
        assert not request.header.flags, f"{request.text()}: flags {request.header.flags:#x}"
        assert not request.fds, request.text()
        data = 0 if reads else request.count
        assert request.header.msg_size == HEADER_SIZE + ACCESS_SIZE + data, request.text()
        assert 0 < request.count <= self.limit, f"{request.text()}: the limit is {self.limit}"
        return list(self.pieces(request.address, request.count, "READ" if reads else "WRITE"))

    def data_for(self, request: Request) -> bytes:
        """What a DMA_READ asks for; for a DMA_WRITE nothing, and its data are stored."""
        data = b""
        for one, address, size in self.judge(request):
            at = address - request.address
            if request.header.command == DMA_READ:
                data += one.read(address, size)
            else:
                one.write(address, request.data[at : at + size])
        return data

    def take(self, timeout: float | None = None) -> Request:
        """The next command, which has to come; to be answered."""
        self.requests.append(self.session.take_request(timeout))
        return self.requests[-1]

    def answer(self, request: Request) -> None:
        """Answer it from the memory."""
        self.session.answer(request, data=self.data_for(request))

    def serve(self) -> int:
        """Answer all commands that have come; their number."""
        count = 0
        while (request := self.session.pending_request()) is not None:
            self.requests.append(request)
            self.answer(request)
            count += 1
        return count

    # ---- waiting ----

    def call(self, what: Message | str, fds: Iterable[Any] = (), **fields: Any) -> Reply:
        """Send and take the reply, which has to be a success; serve meanwhile."""
        return self.success(self.session.send(what, fds, **fields))

    def success(self, sent: Sent) -> Reply:
        """The reply to what was sent, which has to be a success; serve meanwhile."""
        reply = self.reply(sent)
        if isinstance(reply, Refusal):
            raise self.failure("reply.unexpected-error", sent=sent, allowed="success",
                               came=reply.text())
        return reply

    def reply(self, sent: Sent) -> Reply | Refusal:
        """The reply to what was sent; serve meanwhile."""
        end = monotonic() + long()
        while True:
            if self.serve():
                end = monotonic() + long()
            reply = self.session.pending_reply(sent)
            if reply is not None:
                if self.session.twin:
                    self.serve()  # what was sent before it, by the other socket, is there by now
                return reply
            if monotonic() > end:
                return self.session.reply(sent, 0)
            self.await_message()

    def await_message(self) -> None:
        """Wait until something comes by any socket, for the short duration."""
        poll = select.poll()
        for channel in (MAIN, TWIN) if self.session.twin and not self.session.deaf else (MAIN,):
            poll.register(self.session.fileno(channel), select.POLLIN)
        poll.poll(milliseconds(short()))

    def barrier(self) -> None:
        """A round trip, and what came before its reply is served."""
        self.call("DEVICE_GET_INFO")
        self.serve()

    def failure(self, *arguments: Any, **words: Any) -> Failure:
        """A Failure with the exchanges of the session behind it."""
        return self.session.failure(*arguments, **words)

    # ---- operations ----

    def slot(self, number: int = 0) -> Slot:
        """A slot of the device."""
        return self.vdma.slot(number)

    def prepare(self, op: str, address: int, size: int, slot: int = 0, **how: Any) -> Message:
        """Write the registers of an operation on that part of memory; the message that starts it.
        The words are those of Slot.prepare."""
        return self.slot(slot).prepare(op, src=address, dst=address, length=size, **how)

    def start(self, op: str, address: int, size: int, slot: int = 0, **how: Any) -> None:
        """Start such an operation."""
        self.call(self.prepare(op, address, size, slot, **how))

    def wait(self, slot: int = 0, until: Collection[str] = TERMINAL) -> State:
        """The state of a slot, once it is one of these; serves meanwhile."""
        return self.slot(slot).wait(until)

    def held(self, slot: int = 0) -> None:
        """Wait until the operation of a slot is at a hold point."""
        state = self.wait(slot, TERMINAL | {"HELD"})
        assert state == "HELD", f"the operation is not held but {state}"

    def run(self, op: str, address: int, size: int, slot: int = 0, **how: Any) -> State:
        """Start an operation and serve it to its end."""
        self.start(op, address, size, slot, **how)
        return self.wait(slot)

    def succeed(self, op: str, address: int, size: int, slot: int = 0, **how: Any) -> None:
        """The same, and it has to be done."""
        state = self.run(op, address, size, slot, **how)
        if state != "DONE":
            raise self.failure("effect", f"{op} of {size} bytes at {address:#x}: {state}")

    def fail(self, op: str, address: int, size: int, slot: int = 0, **how: Any) -> None:
        """The same, and it must not be done; no further command comes for it."""
        state = self.run(op, address, size, slot, **how)
        if state not in FAILED:
            raise self.failure("effect", f"{op} of {size} bytes at {address:#x}: {state}")
        self.asked_nothing()

    def works(self, one: Range, seed: int = 0x21) -> None:
        """The device reaches all of the range in the ways that it allows."""
        size = min(one.size, BUFFER_SIZE)
        data = pattern(seed, size)
        if "WRITE" in one.flags:
            self.vdma.store(0, data)
            self.succeed("WRITE", one.address, size)
            assert one.read(one.address, size) == data, "other bytes were written"
        if "READ" in one.flags:
            data = one.read(one.address, size)
            self.vdma.store(0, data.translate(INVERTED))
            self.succeed("READ", one.address, size)
            assert self.vdma.load(0, size) == data, "other bytes were read"

    def asked_nothing(self) -> None:
        """No command of the server comes any more, and none came that was not answered."""
        before = len(self.requests)
        self.session.barrier()
        while (request := self.session.pending_request()) is not None:
            self.requests.append(request)
        asked = [request.text() for request in self.requests[before:]]
        assert not asked, f"the server asks in spite of it: {asked}"


def session_of(connect: Callable[..., Connection], offer: dict[str, Any]) -> Connection:
    """A new session with these capabilities, and with a twin socket exactly if they offer it."""
    session = connect(capabilities=offer)
    if session.twin != ("twin_socket" in offer):
        raise session.failure("reply.field", "twin_socket", came=str(session.negotiated))
    return session


def guest_of(connect: Callable[..., Connection], twin: bool = False, **changes: Any) -> Guest:
    """A Guest on a new session, with or without twin socket; `changes` to the capabilities that
    the client announces, where None leaves one out."""
    offer = {**(TWIN_OFFER if twin else DEFAULT), **changes}
    offer = {name: value for name, value in offer.items() if value is not None}
    default = constants.DEFAULTS.MAX_DATA_XFER_SIZE
    return Guest(session_of(connect, offer), limit=offer.get("max_data_xfer_size", default))


def memory_for(fds: Any, shared: bool, size: int = SIZE) -> Memory | None:
    """What a range is mapped with: memory of that size, or nothing."""
    return fds.memory(size) if shared else None


def lose(session: Connection, channel: int) -> None:
    """End one of the two sockets of a session, in both directions."""
    session.unjudged()
    with socket.socket(fileno=os.dup(session.fileno(channel))) as ours:
        ours.shutdown(socket.SHUT_RDWR)


@contextmanager
def may_end(session: Connection) -> Iterator[None]:
    """What is inside may meet the end of the connection."""
    try:
        yield
    except Failure as failure:
        if failure.code not in GONE:
            raise
        session.close()
