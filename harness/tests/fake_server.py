# SPDX-License-Identifier: BSD-3-Clause
"""A small vfio-user server with one defect, for the self-tests of verdicts and blame.

    fake_server.py SOCKET [DEFECT [COMMAND]]

Serves any number of connections at a time. The defect shows when a command with that number comes:
crash, exit, hang, leak (a descriptor each time), leak-once, leak-late (for a while), print (a
sanitizer report), silent, refuse (error instead of success), accept (success instead of an error),
id (a wrong id in the reply). Without a number: exit-at-once, deaf (listens and never accepts),
closes (every connection), mute (never answers), dies-late (a while after its first connection). No
defects but ways of life: many, sequential, one (ends with its first connection), announce (prints a
line when it listens).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import threading
from errno import EINVAL

HEADER = struct.Struct("=HHIII")
VERSION, GET_INFO, GET_REGION_INFO, GET_IRQ_INFO, RESET = 1, 4, 5, 7, 13
REPLY, ERROR = 1, 1 << 5
REGIONS, IRQS = 9, 5
LATE = 0.4  # seconds
CAPABILITIES = b'{"capabilities":{"max_msg_fds":8}}\0'


def good_reply(command: int, body: bytes) -> bytes | None:
    """The payload of a success, or None for what the server refuses."""
    index = struct.unpack_from("=I", body, 8)[0] if len(body) >= 12 else 0
    if command == VERSION:
        return struct.pack("=HH", 0, 0) + CAPABILITIES
    if command == GET_INFO:
        return struct.pack("=IIII", 16, 3, REGIONS, IRQS)
    if command == GET_REGION_INFO and index < REGIONS:
        return struct.pack("=IIIIQQ", 32, 0, index, 0, 0, 0)
    if command == GET_IRQ_INFO and index < IRQS:
        return struct.pack("=IIII", 16, 0, index, 0)
    return b"" if command == RESET else None


class Server:
    """All connections and the defect."""

    def __init__(self, defect: str, command: int):
        self.defect = defect
        self.command = command
        self.leaked: list[int] = []

    def act(self) -> None:
        """The defects that are deeds and no replies."""
        if self.defect == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif self.defect == "exit":
            os._exit(3)
        elif self.defect == "hang":
            while True:
                signal.pause()
        elif self.defect == "leak" or (self.defect == "leak-once" and not self.leaked):
            self.leaked.append(os.dup(1))
        elif self.defect == "leak-late":
            threading.Timer(LATE, os.close, [os.dup(1)]).start()
        elif self.defect == "print":
            print("==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1", flush=True)

    def reply(self, message_id: int, command: int, body: bytes) -> bytes:
        """The whole reply to one message."""
        payload = good_reply(command, body)
        if command == self.command:
            self.act()
            if self.defect == "silent":
                return b""
            if self.defect in ("refuse", "accept"):
                payload = b"" if self.defect == "accept" else None
            message_id += self.defect == "id"
        if payload is None:
            return HEADER.pack(message_id, command, HEADER.size, REPLY | ERROR, EINVAL)
        return HEADER.pack(message_id, command, HEADER.size + len(payload), REPLY, 0) + payload

    def serve(self, client: socket.socket) -> bool:
        """Reads one message and answers it; False at the end of the connection."""
        try:
            head = client.recv(HEADER.size, socket.MSG_WAITALL)
        except ConnectionResetError:
            return False
        if len(head) < HEADER.size:
            return False
        message_id, command, size, _, _ = HEADER.unpack(head)
        body = client.recv(size - HEADER.size, socket.MSG_WAITALL) if size > HEADER.size else b""
        if self.defect != "mute":
            client.sendall(self.reply(message_id, command, body))
        return True

    def run(self, listener: socket.socket) -> None:
        """Serves until a signal ends it; as "one", until its first connection has closed."""
        clients: list[socket.socket] = []
        most = {"deaf": 0, "sequential": 1, "one": 1, "dies-late": 1}.get(self.defect, 100)
        while True:
            waiting = [listener, *clients] if len(clients) < most else clients
            for ready in select.select(waiting, [], [])[0]:
                if ready is listener:
                    clients.append(listener.accept()[0])
                elif not self.serve(ready) or self.defect == "closes":
                    clients.remove(ready)
                    ready.close()
                    if self.defect == "dies-late":
                        threading.Timer(LATE, os._exit, [3]).start()
                    if self.defect in ("one", "dies-late"):
                        return


def main(path: str, defect: str = "", command: str = "0") -> None:
    if defect == "exit-at-once":
        sys.exit(1)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    if defect == "announce":
        print("listening", flush=True)
    Server(defect, int(command)).run(listener)


if __name__ == "__main__":
    main(*sys.argv[1:])
