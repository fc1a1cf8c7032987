# SPDX-License-Identifier: BSD-3-Clause
"""The client of a session by its plain socket, for cases whose numbers would take too long through
the books of the connection: nothing may be outstanding on it, and no reply has descriptors.
"""

import os
import socket
from array import array

from vuc import Failure
from vuc.duration import long
from vuc.message import decode, errno_text
from vuc.schema import HEADER, HEADER_SIZE, constants

ROOM = 1 << 16  # bytes of one read


class Plain:
    """Messages as bytes, replies as their payloads. close() gives back the copy of the socket that
    it owns; the session's stays open."""

    def __init__(self, session):
        session.unjudged()
        self.ours = socket.socket(fileno=os.dup(session.fileno()))
        self.ours.settimeout(long())
        self.came = b""

    def close(self):
        """The socket of the session stays open."""
        self.ours.close()

    def send(self, image, fds=()):
        """Send messages as one piece; the first of them has the descriptors."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        self.ours.sendmsg([image], rights)

    def replies(self, count):
        """The payloads of that many replies, which have to be successes."""
        return [self._reply() for _ in range(count)]

    def _reply(self):
        header = decode(HEADER, self._take(HEADER_SIZE))
        payload = self._take(header["msg_size"] - HEADER_SIZE)
        if header["flags"] & constants.HEADER_FLAGS.ERROR:
            raise Failure("reply.unexpected-error", f"command {header['command']}, id "
                          f"{header['id']}: {errno_text(header['error'])}")
        return payload

    def _take(self, size):
        while len(self.came) < size:
            try:
                more = self.ours.recv(ROOM)
            except TimeoutError as error:
                raise Failure("reply.missing", "one of many") from error
            if not more:
                raise Failure("reply.closed", "one of many")
            self.came += more
        taken, self.came = self.came[:size], self.came[size:]
        return taken
