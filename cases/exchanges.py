# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about the byte stream, headers and descriptors share.

A good message of each command by name, several messages in one piece of the stream, the proof that
a message has been answered once, and that the server's memory stays as it is.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from vuc import COMMANDS, Message, constants, message, structure
from vuc.device import Device
from vuc.session import Connection, Refusal, Reply, Sent
from vuc.target import Target
from vuc.vdma import pattern

HEADER_SIZE = constants.LIMITS.HEADER_SIZE
ADDRESS = 0x100000  # of every mapping here
SIZE = 0x10000
FIRST_ID = 0x8000  # of messages that go together; the others count from 1
ROOM_KIB = 12 << 10  # more than any honest buffer for messages of the default size grows by

# Commands that a client may send after the negotiation.
TO_SERVER = [name for name, row in COMMANDS.items() if not row.to_client and name != "VERSION"]
# Those that are sent for the sake of their reply.
GETTERS = [name for name in TO_SERVER if "GET_" in name or name.endswith("_READ")]


def rows(size: int) -> bytes:
    """So many bytes, of which no 256 in a row come twice."""
    return b"".join(pattern(row, 256) for row in range(size // 256 + 1))[:size]


def _write(device: Device) -> dict[str, int]:
    # Where a write does no harm: the place that stores, else a region that does not exist.
    store = device.store
    if store is None:
        return {"region": device.info.num_regions, "offset": 0}
    return {"region": store.region, "offset": store.offset}


def well_formed(device: Device, name: str) -> Message:
    """A message of the command with nothing wrong in it. What the device lacks may still make the
    server refuse it; nothing of it does harm, and DMA_UNMAP undoes DMA_MAP."""
    region, irq = device.readable(), device.irq_with()
    width = device.store.width if device.store else 1
    writes = structure("WRITE_MULTI_ENTRY", **_write(device), count=min(width, 8), data=0)
    fields = {
        "DMA_MAP": {"flags": "READ|WRITE", "address": ADDRESS, "size": SIZE},
        "DMA_UNMAP": {"address": ADDRESS, "size": SIZE},
        "DEVICE_GET_REGION_INFO": {"index": 0},
        "DEVICE_GET_REGION_IO_FDS": {"index": 0},
        "DEVICE_GET_IRQ_INFO": {"index": 0},
        "DEVICE_SET_IRQS": {
            "flags": "DATA_NONE|ACTION_TRIGGER", "index": irq.index if irq else 0,
        },
        "REGION_READ": {
            "region": region.index if region else 0, "count": min(4, region.size) if region else 4,
        },
        "REGION_WRITE": {**_write(device), "data": bytes(width)},
        "REGION_WRITE_MULTI": {"wr_cnt": 1, "data": writes},
        "DEVICE_FEATURE": {"flags": "PROBE|MIGRATION"},
        "MIG_DATA_READ": {"argsz": 9, "size": 1},
        "MIG_DATA_WRITE": {"data": b"\0"},
    }
    return message(name, **fields.get(name, {}))


def send_together(session: Connection, messages: Sequence[Message], *,
                  maybe: bool = False, **how: object) -> list[Sent]:
    """Send the messages as one piece of the stream (or in the `parts` of `how`), with ids of
    their own unless their headers give one. Returns what to ask their replies by."""
    ids = [one.header.get("id", number) for one, number in zip(messages, count(FIRST_ID))]
    session.send_bytes(b"".join(map(Message.bytes, messages, ids)), maybe=maybe, **how)
    return [Sent(one, number, one.number, True) for one, number in zip(messages, ids)]


def cuts_of(message: Message, where: str) -> range:
    """The places at which a message can be cut in two: in the header, behind it, in the payload."""
    size = HEADER_SIZE + len(message.payload)
    return {
        "in-the-header": range(1, HEADER_SIZE),
        "behind-the-header": range(HEADER_SIZE, HEADER_SIZE + 1),
        "in-the-payload": range(HEADER_SIZE + 1, size),
    }[where]


CUTS = ["in-the-header", "behind-the-header", "in-the-payload"]


def answered_once(session: Connection, sent: Sent) -> Reply | Refusal:
    """The one reply to what was sent; a second one, or anything else behind it, is a Failure."""
    reply = session.reply(sent)
    session.expect_silence()
    return reply


@contextmanager
def flat_memory(target: Target) -> Iterator[None]:
    """What happens inside must not make the server's memory grow; unknown without a process."""
    before = target.resources()
    yield
    target.rest()
    after = target.resources()
    if before and after:
        grown = (after.rss_anon_kib + after.rss_shmem_kib
                 - before.rss_anon_kib - before.rss_shmem_kib)
        assert grown < ROOM_KIB, f"the server's memory grew by {grown} KiB"


def indexes_past_the_end(device: Device) -> list[Message]:
    """Messages that every server has to refuse: for the first region and interrupt that are not."""
    return [
        message("DEVICE_GET_REGION_INFO", index=device.info.num_regions),
        message("DEVICE_GET_IRQ_INFO", index=device.info.num_irqs),
    ]


def assert_sigterm_ends(target: Target) -> None:
    """SIGTERM ends the program, by itself or by the signal (PROG-RUN-004)."""
    target.signal(signal.SIGTERM)
    state = target.wait_exit()
    assert state is not None, "the program runs on"
    assert not state.sanitizer, target.log()
    well = {("exited", 0), ("killed", signal.SIGTERM), ("exited", 128 + signal.SIGTERM)}
    assert (state.phase, state.status) in well, state.text()
