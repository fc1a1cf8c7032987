# SPDX-License-Identifier: BSD-3-Clause
"""The class for the test device, against registers that a thread keeps in a dictionary."""

import os
import socket
import struct
import threading
from errno import ECANCELED, EFAULT, ENOENT

import pytest

from vuc import duration
from vuc.failure import Failure
from vuc.schema import COMMANDS
from vuc.session import Connection
from vuc.vdma import BUFFER, Event, State, Vdma, answer, pattern

HEADER = struct.Struct("=HHIII")
ACCESS = struct.Struct("=QII")
NUMBER = {name: row.number for name, row in COMMANDS.items()}


class Device:
    """BAR0 as a dictionary of bytes. `states`: what STATE of slot 1 reads, one after the other,
    the last one again."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.door = os.memfd_create("door")
        os.truncate(self.door, 0x1000)
        self.bytes = {}
        self.states = []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with self.theirs:
            while header := self.theirs.recv(HEADER.size, socket.MSG_WAITALL):
                number, command, size, _, _ = HEADER.unpack(header)
                rest = size - HEADER.size
                body = self.theirs.recv(rest, socket.MSG_WAITALL) if rest else b""
                self.reply(number, command, body)

    def reply(self, number, command, body):
        fds = []
        if command == NUMBER["DEVICE_GET_REGION_INFO"]:
            payload, fds = struct.pack("=IIIIQQ", 32, 7, 2, 0, 0x1000, 0), [self.door]
        else:
            offset, region, count = ACCESS.unpack_from(body)
            assert region == 0
            payload = ACCESS.pack(offset, region, count)
            if command == NUMBER["REGION_WRITE"]:
                self.bytes.update(zip(range(offset, offset + count), body[16:], strict=True))
            else:
                payload += self.read(offset, count)
        image = HEADER.pack(number, command, 16 + len(payload), 1, 0) + payload
        socket.send_fds(self.theirs, [image], fds)

    def read(self, offset, count):
        if offset == 0x170 and self.states:
            value = self.states.pop(0) if self.states[1:] else self.states[0]
            return struct.pack("=I", value)
        return bytes(self.bytes.get(at, 0) for at in range(offset, offset + count))

    def number(self, offset, width):
        return int.from_bytes(self.read(offset, width), "little")


@pytest.fixture
def device():
    one = Device()
    one.thread.start()
    yield one
    one.thread.join()
    os.close(one.door)


@pytest.fixture
def vdma(device):
    with Connection.adopt(device.ours.detach()) as session, Vdma(session) as one:
        session.announce({"max_msg_fds": 1})
        yield one


def test_states_compare_with_text():
    assert State.of(6) == "DONE" and State.of(6) != "FAULT"
    assert State.of(2 << 8 | 3) == "HELD@MID" and State.of(2 << 8 | 3) == "HELD"
    assert State.of(1 << 8 | 3) != "HELD@MID"
    assert State.of(ENOENT << 16 | 7) == "FAULT ENOENT" and State.of(ENOENT << 16 | 7) == "FAULT"
    assert str(State.of(ECANCELED << 16 | 8)) == "ABORTED ECANCELED"
    assert State.of(99).name == "state-99"


def test_start_writes_the_registers_and_then_the_command(device, vdma):
    vdma.slot(1).start("COPY", src=1 << 40, dst=2, length=3, mid=4, buf=5, seed=6, count=7,
                       stride=8, hold="POST|END", drain=True, path="messages", vector=5, armed=True)
    assert device.number(0x140, 4) == 3 | 2 << 4 | 1 << 7 | 1 << 10
    assert device.number(0x144, 4) == 0b1010 | 1 << 8 | 5 << 16
    assert (device.number(0x148, 8), device.number(0x150, 8)) == (1 << 40, 2)
    assert [device.number(0x158 + 4 * i, 4) for i in range(6)] == [3, 4, 5, 6, 7, 8]
    message = vdma.slot(0).prepare("NOP")
    assert (message.values["offset"], message.data) == (0x100, b"\0" * 4)
    assert 0x100 not in device.bytes


def test_wait_asks_until_it_is_stable(device, vdma):
    device.states = [1, 2, 2, 3]
    assert vdma.slot(1).wait() == "HELD@PRE"
    device.states = [2, 5, 6]
    assert vdma.slot(1).run("READ") == "DONE"


def test_wait_gives_up(device, vdma, monkeypatch):
    monkeypatch.setattr(duration, "LONG", 0.05)
    device.states = [2]
    with pytest.raises(Failure, match="slot 1 gets no further"):
        vdma.slot(1).wait()


def test_registers_have_names(device, vdma):
    vdma.go(0, 3)
    vdma.freeze()
    vdma.write("DRAIN_MS", 77)
    vdma.slot(7).step("abort")
    vdma.store(3, b"abc")
    assert device.number(0x50, 4) == 9 and device.number(0x0C, 4) == 2
    assert vdma.read("DRAIN_MS") == 77 and device.number(0x2FC, 4) == 3
    assert vdma.load(2, 5) == b"\0abc\0" and BUFFER + 3 in device.bytes
    device.bytes[0x28] = 5
    assert vdma.counters()["STARTED"] == 5 and not vdma.can("PRI")
    device.bytes[0x3F8] = 9
    assert vdma.slot(7).read("LASTSEQ") == 9
    with pytest.raises(ValueError, match="no slot 8"):
        vdma.slot(8)


def test_events_are_those_that_the_ring_still_has(device, vdma):
    device.bytes.update(enumerate(struct.pack("=I", 130), 0x54))
    device.bytes.update(enumerate(struct.pack("=IIQ", 129, 3 << 8 | 6, 4096), 0x810))
    events = vdma.events(129)
    assert events == [Event(129, "retire", 3, 4096)]
    assert len(vdma.events()) == 128


def test_the_side_door_is_memory(device, vdma):
    vdma.slot(2).release("end")
    assert os.pread(device.door, 4, 8) == struct.pack("=I", 2)
    os.pwrite(device.door, struct.pack("=I", 3), 0x48)
    assert vdma.slot(2).door_state() == "HELD"


class Ram:
    def __init__(self):
        self.data = bytearray(pattern(1, 16))
        self.size = 16

    def read(self, offset, size):
        return bytes(self.data[offset:offset + size])

    def write(self, offset, data):
        self.data[offset:offset + len(data)] = data


def test_answer_is_memory_or_efault():
    ours, theirs = socket.socketpair()
    ram = Ram()
    with theirs, Connection.adopt(ours.detach()) as session:
        for command, address, data in ((11, 0x1004, b""), (12, 0x1000, b"wxyz"), (11, 0x100D, b"")):
            request = HEADER.pack(1, command, 32 + len(data), 0, 0)
            theirs.sendall(request + struct.pack("=QQ", address, 4) + data)
            answer(session, session.take_request(), ram, 0x1000)
        assert theirs.recv(36) == HEADER.pack(1, 11, 36, 1, 0) + struct.pack(
            "=QQ", 0x1004, 4) + pattern(1, 4, 4)
        assert theirs.recv(32) == HEADER.pack(1, 12, 32, 1, 0) + struct.pack("=QQ", 0x1000, 4)
        assert theirs.recv(16) == HEADER.pack(1, 11, 16, 0x21, EFAULT)
        assert ram.data[:5] == b"wxyz" + pattern(1, 1, 4)
