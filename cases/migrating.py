# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about migration share: states and the ways there, streams, and what is in them.

States are named as in constants.MIG_STATE. A Migration is that of the device behind one session;
what its methods send has to succeed, but for those that say `try` or `refuse`. A stream is the
bytes of MIG_DATA_READ from its beginning to its end. Sizes are bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from vuc import Failure, Message, constants, covers, message, needs, parse, structure
from vuc.device import CONFIG, CONFIG_HEADER_SIZE, INTERRUPT_LINE, Device, Store
from vuc.evidence import Fds
from vuc.exchange import Outcome
from vuc.session import DEFAULT, Connection, Refusal, Reply
from vuc.target import Target

STATES = {value: name for name, value in vars(constants.MIG_STATE).items()}
STOPPED = ("STOP", "STOP_COPY", "RESUMING")
SAVING = ("PRE_COPY", "STOP_COPY")
REACHABLE = ("RUNNING", *STOPPED, "PRE_COPY")
GET_STATE = message("DEVICE_FEATURE", flags="GET|MIG_DEVICE_STATE")

# From RUNNING, by the direct arcs.
WAYS = {
    "RUNNING": (),
    "STOP": ("STOP",),
    "STOP_COPY": ("STOP", "STOP_COPY"),
    "RESUMING": ("STOP", "RESUMING"),
    "PRE_COPY": ("PRE_COPY",),
}

CHUNK = 4096  # of a transfer, where its size is of no matter
LARGEST = DEFAULT["max_data_xfer_size"]  # that we take
ENDLESS = 1 << 28  # a stream that is longer has no end
FLAGS_SIZE = 8


# Sizes of the first transfers on a session: enough small ones to cross borders in the stream.
SIZES: dict[str, Callable[[Connection], Iterable[int]]] = {
    "bytes": lambda session: repeat(1, 300),
    "sevens": lambda session: repeat(7, 300),
    "thirteens": lambda session: repeat(13, 300),
    "pages": lambda session: repeat(4096, 300),
    "growing": lambda session: range(1, 300),
    "largest": lambda session: repeat(min(session.limits.max_data_xfer_size, LARGEST), 4),
}
each_size = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)


def words(*names: str) -> str:
    """The id of a parameter that names states."""
    return "-to-".join(names).lower().replace("_", "-")


def named(*states: str) -> list[Any]:
    """Parameters: these states, PRE_COPY only where the device has it."""
    return [
        pytest.param(state, id=words(state),
                     marks=needs("pre_copy") if state == "PRE_COPY" else ())
        for state in states
    ]


def each_state(*states: str) -> Callable:
    """Runs the case with `state` for each of the names."""
    return pytest.mark.parametrize("state", named(*states))


def each_arc(arcs: dict[str, tuple[str, str]]) -> Callable:
    """Runs the case with `start` and `end` for each arc, which covers its requirement."""
    return pytest.mark.parametrize("start, end", [
        pytest.param(*arc, id=words(*arc), marks=[
            covers(requirement), *([needs("pre_copy")] if "PRE_COPY" in arc else [])])
        for requirement, arc in arcs.items()
    ])


def set_message(state: str | int, data_fd: int = 0, argsz: int = 16) -> Message:
    """SET MIG_DEVICE_STATE."""
    data = structure("DEVICE_STATE", device_state=state, data_fd=data_fd)
    return message("DEVICE_FEATURE", flags="SET|MIG_DEVICE_STATE", argsz=argsz, data=data)


def state_of(reply: Reply) -> str:
    """The state in a reply of DEVICE_FEATURE; a number that is none is told as a number."""
    try:
        number = parse("DEVICE_STATE", reply.data).device_state
    except ValueError as error:
        raise Failure("reply.field", str(error), came=reply.text()) from error
    return STATES.get(number, str(number))


class Migration:
    """The migration of the device behind a session; `session` is another one after reconnect()."""

    def __init__(self, session: Connection):
        self.session = session

    @property
    def chunk(self) -> int:
        """The size of a MIG_DATA_WRITE where it is of no matter."""
        return min(CHUNK, self.session.limits.max_data_xfer_size)

    # ---- states ----

    def flags(self) -> int:
        """What GET MIGRATION tells, which is eight bytes."""
        reply = self.session.call("DEVICE_FEATURE", flags="GET|MIGRATION")
        if len(reply.data) != FLAGS_SIZE:
            raise Failure("reply.field", came=reply.text(), allowed="8 bytes of flags")
        return parse("MIGRATION", reply.data).flags

    def state(self) -> str:
        """The name of the present state."""
        return state_of(self.session.call(GET_STATE))

    def expect(self, state: str) -> None:
        """That is the present state."""
        found = self.state()
        assert found == state, f"the state is {found}, not {state}"

    def set(self, state: str) -> Reply:
        """Go there."""
        return self.session.call(set_message(state))

    def try_set(self, state: str | int) -> Outcome:
        """The same where an error reply is as good."""
        return self.session.outcome(set_message(state))

    def refuse(self, state: str | int) -> Refusal:
        """The same where it has to be refused."""
        return self.session.refuse(set_message(state))

    def enter(self, state: str) -> None:
        """Go there from RUNNING by direct arcs."""
        for step in WAYS[state]:
            self.set(step)

    def arrive(self, state: str) -> None:
        """enter(); into RESUMING with all the data that it takes to leave it again."""
        data = self.saved() if state == "RESUMING" else b""
        self.enter(state)
        if data:
            self.load(data)

    def run(self) -> None:
        """Let it run, if it does not already: the present state need not be taken (MIG-FSM-021)."""
        if self.state() != "RUNNING":
            self.set("RUNNING")
            self.expect("RUNNING")

    def works(self) -> None:
        """The device runs, and can be stopped and started."""
        self.expect("RUNNING")
        self.set("STOP")
        self.expect("STOP")
        self.set("RUNNING")
        self.expect("RUNNING")

    def recovers(self) -> bool:
        """Does it run again, if need be after a reset?"""
        steps = (set_message("RUNNING"), message("DEVICE_RESET"), set_message("RUNNING"))
        for step in steps:
            if self.state() == "RUNNING":
                return True
            self.session.outcome(step)
        return self.state() == "RUNNING"

    def reconnect(self, connect: Callable[[], Connection]) -> None:
        """Disconnect, and go on with another connection."""
        self.session.close()
        self.session = connect()

    # ---- data ----

    def read(self, size: int) -> bytes:
        """The next bytes of the stream, at most `size`."""
        return self.data_of(self.session.call("MIG_DATA_READ", size=size), size)

    def data_of(self, reply: Reply, size: int) -> bytes:
        """What a reply to MIG_DATA_READ of `size` brought. That nothing stands behind it is the
        matter of a case of its own."""
        if reply.size > size or len(reply.data) < reply.size:
            raise Failure("reply.field", requirement="MIG-READ-001", came=reply.text(),
                          allowed=f"at most {size} bytes, and as many as its size says")
        return reply.data[: reply.size]

    def save(self, sizes: Iterable[int] = ()) -> bytes:
        """The stream from here to its end, read by these sizes and from then on by CHUNK."""
        data = bytearray()
        for size in chain(sizes, repeat(CHUNK)):
            part = self.read(size)
            data += part
            if len(part) < size:
                return bytes(data)
            if len(data) > ENDLESS:
                raise Failure("effect", f"the stream does not end within {ENDLESS:#x} bytes",
                              requirement="MIG-READ-003")

    def saved(self) -> bytes:
        """The whole stream of the device, which runs before and after."""
        self.enter("STOP_COPY")
        data = self.save()
        self.set("RUNNING")
        return data

    def write(self, data: bytes) -> Reply:
        """Deliver the next bytes of a stream."""
        return self.session.call("MIG_DATA_WRITE", data=data)

    def load(self, data: bytes, sizes: Iterable[int] = ()) -> None:
        """Deliver a stream, or what is left of it, by these sizes and from then on by CHUNK."""
        for part in pieces(data, chain(sizes, repeat(self.chunk))):
            self.write(part)

    def restore(self, data: bytes, sizes: Iterable[int] = ()) -> None:
        """From RUNNING to RUNNING, with the device as the stream describes it."""
        self.enter("RESUMING")
        self.load(data, sizes)
        self.set("STOP")
        self.set("RUNNING")
        self.expect("RUNNING")

    # ---- which data goes in a state ----

    def refuse_read(self, size: int = 1) -> Refusal:
        """MIG_DATA_READ is refused."""
        return self.session.refuse("MIG_DATA_READ", size=size)

    def refuse_write(self, data: bytes = b"\0") -> Refusal:
        """MIG_DATA_WRITE is refused."""
        return self.session.refuse("MIG_DATA_WRITE", data=data)

    def spoil(self, data: bytes) -> None:
        """From RUNNING into RESUMING, with data that is no stream of the device; they may be
        refused as they come."""
        self.enter("RESUMING")
        for part in pieces(data, repeat(self.chunk)):
            self.session.outcome("MIG_DATA_WRITE", data=part)

    def break_down(self) -> None:
        """From RUNNING into ERROR, by garbage in RESUMING."""
        self.spoil(GARBAGE)
        self.refuse("STOP")
        self.expect("ERROR")


GARBAGE = bytes((7 * i * i + 3) & 0xFF for i in range(CHUNK))


def pieces(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """The data in parts of these sizes; there have to be enough of them."""
    at = 0
    for size in sizes:
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


@pytest.fixture(name="migration")
def migration_fixture(session: Connection, context: Any) -> Iterator[Migration]:
    """The migration of the device behind `session`. Whatever the case does, the next one finds
    the device running, or a new server where it can not be brought to that."""
    migration = Migration(session)
    yield migration
    for _ in range(2):
        try:
            if not migration.recovers():
                context.worker.discard()
            return
        except Failure:
            # Perhaps only the connection is lost; else the checks around the case find out.
            try:
                migration.reconnect(context.connect)
            except Failure:
                return


@pytest.fixture(name="destination")
def destination_fixture(private_target: Callable[..., Target], fds: Fds) -> Migration:
    """The migration of the same device in another process, which has just been started."""
    return Migration(fds.keep(private_target().negotiate()))


# ---- what the device holds ----


class Contents:
    """What is written to the place that stores: at both ends of it, and in the middle."""

    def __init__(self, store: Store):
        self.store = store
        last = max(store.size - store.width, 0)
        middle = last // 2 // store.width * store.width
        self.places = sorted({0, middle, last})

    def expected(self, seed: int) -> list[int]:
        """What found() returns after put(): never 0, and another for each seed from 0 to 254."""
        return [
            int.from_bytes(bytes([(seed + index) % 255 + 1]) * self.store.width, sys.byteorder)
            for index in range(len(self.places))
        ]

    def put(self, session: Connection, seed: int) -> None:
        """Store it."""
        for place, number in zip(self.places, self.expected(seed)):
            self.store.write(session, number, place)

    def clear(self, session: Connection) -> None:
        """Store zeros."""
        for place in self.places:
            self.store.write(session, 0, place)

    def found(self, session: Connection) -> list[int]:
        """What is stored."""
        return [self.store.read(session, place) for place in self.places]

    def expect(self, session: Connection, seed: int) -> None:
        """That is stored."""
        assert self.found(session) == self.expected(seed), "the device holds something else"


@pytest.fixture(name="contents")
def contents_fixture(device: Device) -> Contents:
    """The place that stores; for cases that need `store`. A client may migrate the configuration
    space on its own, so that it need not be in the stream."""
    if device.store.region == CONFIG:
        pytest.skip("needs: a place that stores outside of the configuration space")
    return Contents(device.store)


def config_header(session: Connection) -> list[bytes]:
    """The first 64 bytes of the configuration space, register by register."""
    return [
        session.call("REGION_READ", region=CONFIG, offset=offset, count=4).data
        for offset in range(0, CONFIG_HEADER_SIZE, 4)
    ]


# Region, offset, width and another value of registers of the test device that are kept.
REGISTERS = {
    "command": (CONFIG, 0x04, 2, 0x0006),
    "interrupt-line": (CONFIG, INTERRUPT_LINE, 1, 0x0B),
    "checksum-offset": (0, 0x14, 4, 0x1230),
    "drain-time": (0, 0x24, 4, 0x0777),
    "source-of-a-slot": (0, 0x108, 4, 0x12345678),
    "length-of-the-last-slot": (0, 0x2D8, 4, 0x00012345),
    "start-of-the-buffer": (0, 0x10000, 4, 0x5A5AA5A5),
    "end-of-the-buffer": (0, 0x1FFFC, 4, 0xA5A55A5A),
    "mapped-memory": (2, 0xFF8, 4, 0x5A5AA5A5),
}


def put_register(session: Connection, name: str) -> None:
    """Store the other value."""
    region, offset, width, number = REGISTERS[name]
    session.call("REGION_WRITE", region=region, offset=offset,
                 data=number.to_bytes(width, sys.byteorder))


def register(session: Connection, name: str) -> bytes:
    """What is there."""
    region, offset, width, _ = REGISTERS[name]
    return session.call("REGION_READ", region=region, offset=offset, count=width).data
