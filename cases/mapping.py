# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about DMA ranges share: map, unmap, and ask whether a reply told the truth.

What is mapped shows in what can be done: a mapped range can be unmapped, exactly and once
(DMA-UNMAP-003, -004); where nothing is mapped, all of it can be mapped. Addresses and sizes are
bytes. `exchange` is for numbers of messages that would take too long one by one.
"""

import os
import select
import socket
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator
from struct import Struct
from time import monotonic

from vuc import COMMANDS, constants, message
from vuc.duration import long, milliseconds
from vuc.message import errno_text
from vuc.schema import HEADER, HEADER_SIZE

PAGE = 0x1000
BASE = 0x100000
SIZE = 0x10000
RW = "READ|WRITE"

BATCH = 512  # messages of one sendmsg: what the kernel hands over to the reader in one piece
LETTERS = {2: "H", 4: "I", 8: "Q"}
Header = namedtuple("Header", HEADER)
HEADER_STRUCT = Struct("=" + "".join(LETTERS[field.width] for field in HEADER.values()))


def map_range(session, address=BASE, size=SIZE, fds=(), *, flags=RW, offset=0):
    """Map it, which has to succeed; the reply."""
    return session.call("DMA_MAP", fds, flags=flags, offset=offset, address=address, size=size)


def unmap_range(session, address=BASE, size=SIZE):
    """Unmap it, which has to succeed: it was mapped like this. The reply."""
    return session.call("DMA_UNMAP", address=address, size=size)


def assert_mapped(session, address=BASE, size=SIZE):
    """It is mapped like this: it can be unmapped, once."""
    unmap_range(session, address, size)
    session.refuse("DMA_UNMAP", address=address, size=size)


def assert_nothing_mapped(session, address=BASE, size=SIZE):
    """All of it can be mapped, and unmapped again."""
    map_range(session, address, size)
    unmap_range(session, address, size)


def assert_told(session, outcome, address=BASE, size=SIZE, *, around=None):
    """The outcome of mapping the range tells what is mapped: it can be unmapped or it can not,
    and afterwards `around` (default: the range) can be mapped."""
    if outcome.kind == "success":
        unmap_range(session, address, size)
    session.refuse("DMA_UNMAP", address=address, size=size)
    assert_nothing_mapped(session, *(around or (address, size)))


def eventually(session, condition: Callable[[], bool]) -> bool:
    """Does it come true within the long duration? Between two looks lies a round trip."""
    end = monotonic() + long()
    while not condition():
        if monotonic() > end:
            return False
        session.barrier()
    return True


# ---- many messages at once ----


def batches(name: str, addresses: Iterable[int], **fields) -> Iterator[tuple[bytes, int]]:
    """The same message with each of the addresses: the bytes of up to BATCH, and their number."""
    template = message(name, address=0, **fields).bytes()
    field = COMMANDS[name].request["address"]
    number = Struct("=" + LETTERS[field.width])
    addresses = list(addresses)
    for start in range(0, len(addresses), BATCH):
        part = addresses[start : start + BATCH]
        image = bytearray(template * len(part))
        for index, address in enumerate(part):
            number.pack_into(image, index * len(template) + HEADER_SIZE + field.offset, address)
        yield bytes(image), len(part)


def _replies(session, ours: socket.socket, count: int) -> Iterator[Header]:
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    came = bytearray()
    while count:
        if not poll.poll(milliseconds(None)):
            raise session.failure("reply.missing", f"{count} replies of a batch did not come")
        more = ours.recv(1 << 16)
        if not more:
            raise session.failure("reply.closed", f"{count} replies of a batch did not come")
        came += more
        at = 0
        while at + HEADER_SIZE <= len(came):
            header = Header._make(HEADER_STRUCT.unpack_from(came, at))
            if header.msg_size < HEADER_SIZE:
                raise session.failure("channel.framing", f"msg_size {header.msg_size}")
            if at + header.msg_size > len(came):
                break
            at += header.msg_size
            count -= 1
            yield header
        del came[:at]


def exchange(session, name: str, addresses: Iterable[int], **fields) -> list[Header]:
    """Send the message with each of the addresses, a batch at a time; the headers of all replies.

    It goes around the connection, whose books would take longer than the server: nothing may
    be outstanding on it, and the reply may have no descriptors.
    """
    headers: list[Header] = []
    session.unjudged()
    with socket.socket(fileno=os.dup(session.fileno())) as ours:
        for image, count in batches(name, addresses, **fields):
            try:
                ours.sendall(image)
                headers += _replies(session, ours, count)
            except (BrokenPipeError, ConnectionResetError) as error:
                raise session.failure("reply.closed", f"{name} number {len(headers)}") from error
    return headers


def exchange_all(session, name: str, addresses: Iterable[int], **fields) -> None:
    """The same, and each of them has to succeed."""
    for number, header in enumerate(exchange(session, name, addresses, **fields), 1):
        if header.flags & constants.HEADER_FLAGS.ERROR:
            raise session.failure("reply.unexpected-error", f"{name} number {number}",
                                  allowed="success", came=f"error {errno_text(header.error)}")
