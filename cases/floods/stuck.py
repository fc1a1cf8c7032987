# SPDX-License-Identifier: BSD-3-Clause
"""A file with a page that does not come: a file system of our own (FUSE), whose answer to the
kernel's READ of that page waits for release().

    with StuckFile(16 * PAGE, at=2 * PAGE) as file:
        ...                  # whoever touches that page waits, in the kernel
        file.asked()         # until somebody does
        file.release()

The mount is gone from the tree before anybody else sees it; the file lives as long as its
descriptor. The end of the file system, also by the death of this process, fails all who wait.
Numbers and structures are those of linux/fuse.h. Sizes are bytes; times are seconds.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import tempfile
import threading
from contextlib import suppress
from errno import ENOSYS
from stat import S_IFDIR, S_IFREG
from typing import Self

from vuc.duration import long

DEVICE = "/dev/fuse"
FLAGS, DETACH = 2 | 4, 2  # MS_NOSUID, MS_NODEV; MNT_DETACH
ROOT, FILE = 1, 2  # the only nodes
PAGE = 0x1000
ROOM = 1 << 17  # the kernel wants to be read with that much room at least
FOR_EVER = 1 << 30  # how long the kernel may keep what it was told
MAJOR, MINOR = 7, 31
REQUEST = struct.Struct("=IIQQIIIHH")  # size, operation, id, node, ...
REPLY = struct.Struct("=IiQ")  # size, -errno, id
ATTRIBUTES = struct.Struct("=6Q10I")
LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, RELEASE = 1, 2, 3, 14, 15, 16, 18
FLUSH, INIT, INTERRUPT, BATCH_FORGET = 25, 26, 36, 42
SILENT = (FORGET, INTERRUPT, BATCH_FORGET)


def _mount(what: int, where: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={what},rootmode={S_IFDIR:o},user_id={os.getuid()},group_id={os.getgid()}"
    if libc.mount(b"vuc", os.fsencode(where), b"fuse", FLAGS, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}")


def _unmount(where: str) -> None:
    ctypes.CDLL(None).umount2(os.fsencode(where), DETACH)


class StuckFile:
    """One file of so many bytes, all zero, of which the page `at` is not answered before
    release(). OSError where there is no FUSE, or no right to mount. kind: the word in listings."""

    kind = "stuck-file"

    def __init__(self, size: int, at: int):
        self.size = size
        self.at = at
        self._number = -1
        self._waits: list[int] = []  # READs of that page
        self._asked, self._released = threading.Event(), False
        self._lock = threading.Lock()
        self._device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        self._end, self._ends = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        with tempfile.TemporaryDirectory(prefix="vuc-fuse-") as where:
            _mount(self._device, where)
            try:
                self._thread.start()
                self._number = os.open(f"{where}/file", os.O_RDWR | os.O_CLOEXEC)
            finally:
                _unmount(where)

    def fileno(self) -> int:
        """The descriptor to pass."""
        return self._number

    def asked(self) -> bool:
        """Does somebody wait for the page, now or within the long duration?"""
        return self._asked.wait(long())

    def release(self) -> None:
        """The page comes."""
        with self._lock:
            self._released = True
            while self._waits:
                self._reply(self._waits.pop(), bytes(PAGE))

    def close(self) -> None:
        """End the file system. Twice is fine."""
        if self._device < 0:
            return
        os.write(self._ends, b"x")
        if self._thread.is_alive():
            self._thread.join()
        # The file is the last: nobody is left to answer what its end makes the kernel ask.
        for number in (self._device, self._end, self._ends, self._number):
            with suppress(OSError):
                os.close(number)
        self._device = self._number = -1

    # ---- the file system ----

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._device, select.POLLIN)
        poll.register(self._end, select.POLLIN)
        while True:
            ready = [number for number, _ in poll.poll()]
            if self._end in ready:
                return
            with suppress(InterruptedError):  # a request that was withdrawn
                try:
                    self._answer(os.read(self._device, ROOM))
                except OSError:
                    return  # nobody has the file open any more

    def _answer(self, request: bytes) -> None:
        _, operation, number, node, *_ = REQUEST.unpack_from(request)
        body = request[REQUEST.size :]
        if operation in SILENT:
            return
        if operation == READ:
            self._read(number, *struct.unpack_from("=QQI", body))
            return
        data = {
            INIT: self._init, LOOKUP: self._entry, GETATTR: lambda _: self._attributes(node),
            OPEN: lambda _: bytes(16), RELEASE: lambda _: b"", FLUSH: lambda _: b"",
            WRITE: lambda body: struct.pack("=II", struct.unpack_from("=QQI", body)[2], 0),
        }.get(operation)
        if data is None:
            self._reply(number, b"", -ENOSYS)
        else:
            self._reply(number, data(body))

    def _reply(self, number: int, data: bytes, error: int = 0) -> None:
        with suppress(OSError):  # whoever asked is gone
            os.write(self._device, REPLY.pack(REPLY.size + len(data), error, number) + data)

    def _read(self, number: int, _: int, offset: int, size: int) -> None:
        with self._lock:
            if offset <= self.at < offset + size and not self._released:
                self._waits.append(number)
                self._asked.set()
                return
        self._reply(number, bytes(max(0, min(size, self.size - offset))))

    def _init(self, _: bytes) -> bytes:
        # Without readahead the kernel asks for the pages that are touched, one by one.
        return struct.pack("=IIIIHHIIHHI28x", MAJOR, MINOR, 0, 0, 0, 0, PAGE, 1, 0, 0, 0)

    def _entry(self, _: bytes) -> bytes:
        return struct.pack("=4Q2I", FILE, 0, FOR_EVER, FOR_EVER, 0, 0) + self._attribute(FILE)

    def _attributes(self, node: int) -> bytes:
        return struct.pack("=Q2I", FOR_EVER, 0, 0) + self._attribute(node)

    def _attribute(self, node: int) -> bytes:
        kind = S_IFDIR | 0o700 if node == ROOT else S_IFREG | 0o600
        return ATTRIBUTES.pack(node, self.size, self.size // 512, 0, 0, 0, 0, 0, 0, kind, 1,
                               os.getuid(), os.getgid(), 0, PAGE, 0)
