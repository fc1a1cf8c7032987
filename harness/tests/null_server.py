# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user server that does nothing, in one of several ways, to show what the cases demand.

    null_server.py SOCKET WAY

exit: ends at once. close: closes each connection at its first byte. mute: reads and never answers.
header: answers each message with success and no payload. zeros: negotiates, and answers each
command with success and a payload of the right size that is all zero. facade: negotiates and
describes a device as it should, and answers everything else with success: where the reply repeats
the request it does, and data that is read is zero. Received descriptors are never taken. Messages
with No_reply are not answered, nor are replies.
"""

from __future__ import annotations

import select
import socket
import struct
import sys

HEADER = struct.Struct("=HHIII")
VERSION, MAP, UNMAP, GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS, GET_IRQ_INFO = range(1, 8)
SET_IRQS, READ, WRITE = 8, 9, 10
REPLY, TYPE, NO_REPLY = 1, 0xF, 0x10
LARGEST = 2 << 20  # bytes of a message that is taken for one
CAPABILITIES = b'{"capabilities":{"max_msg_fds":8}}\0'
# Payload of a success, in bytes.
SIZES = {UNMAP: 24, GET_INFO: 16, GET_REGION_INFO: 32, GET_REGION_IO_FDS: 16, GET_IRQ_INFO: 16,
         READ: 16, WRITE: 16}
# What the facade describes: size and flags (read, write) of its regions, vectors of its interrupts.
REGIONS = {0: (0x20000, 3), 6: (0x1000, 1), 7: (256, 3)}
IRQS = {0: 1, 2: 4}
NUM_REGIONS, NUM_IRQS = 9, 5
RESET_AND_PCI, EVENTFD_AND_MASKABLE = 3, 3


def word(body: bytes, number: int) -> int:
    """The 32-bit field with that number; 0 if the body ends before it."""
    field = body[4 * number : 4 * number + 4]
    return struct.unpack("=I", field)[0] if len(field) == 4 else 0


def zeros(command: int, body: bytes) -> bytes:
    """A payload of the right size."""
    if command == VERSION:
        return bytes(4) + CAPABILITIES
    data = min(word(body, 3), LARGEST) if command == READ else 0
    return bytes(SIZES.get(command, 0) + data)


def facade(command: int, body: bytes) -> bytes:
    """A payload that looks well."""
    if command == GET_INFO:
        return struct.pack("=IIII", 16, RESET_AND_PCI, NUM_REGIONS, NUM_IRQS)
    if command == GET_REGION_INFO:
        size, flags = REGIONS.get(word(body, 2), (0, 0))
        return struct.pack("=IIIIQQ", 32, flags, word(body, 2), 0, size, 0)
    if command == GET_IRQ_INFO:
        count = IRQS.get(word(body, 2), 0)
        flags = EVENTFD_AND_MASKABLE if count else 0
        return struct.pack("=IIII", 16, flags, word(body, 2), count)
    payload = zeros(command, body)
    if command in (UNMAP, READ, WRITE):
        repeated = body[: SIZES[command]]
        payload = repeated + payload[len(repeated) :]
    return payload


class Client:
    """One connection and the bytes that have come by it."""

    def __init__(self, connection: socket.socket, way: str):
        self.connection = connection
        self.way = way
        self.bytes = b""

    def serve(self) -> bool:
        """Reads once and answers what is whole; False when the connection is over."""
        try:
            # Without room for them the kernel drops the descriptors.
            data = self.connection.recv(LARGEST)
            if not data or self.way == "close":
                return False
            self.bytes += data
            while len(self.bytes) >= HEADER.size and self.way != "mute":
                size = max(HEADER.size, HEADER.unpack_from(self.bytes)[2])
                if len(self.bytes) < size <= LARGEST:
                    break
                self.answer(self.bytes[:size])
                self.bytes = self.bytes[size:]
        except OSError:
            return False
        return True

    def answer(self, message: bytes) -> None:
        """Success."""
        message_id, command, _, flags, _ = HEADER.unpack_from(message)
        if flags & NO_REPLY or flags & TYPE == REPLY:
            return
        make = {"zeros": zeros, "facade": facade}.get(self.way, lambda *_: b"")
        payload = make(command, message[HEADER.size :])
        size = HEADER.size + len(payload)
        self.connection.sendall(HEADER.pack(message_id, command, size, REPLY, 0) + payload)


def main(path: str, way: str) -> None:
    if way == "exit":
        return
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    clients: dict[socket.socket, Client] = {}
    while True:
        for ready in select.select([listener, *clients], [], [])[0]:
            if ready is listener:
                connection = listener.accept()[0]
                clients[connection] = Client(connection, way)
            elif not clients[ready].serve():
                del clients[ready]
                ready.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
