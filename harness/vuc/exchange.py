# SPDX-License-Identifier: BSD-3-Clause
"""What goes over a connection: what was sent, what was received, and how either is shown.

Received messages own nothing; their descriptors belong to the connection that they came by.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from .evidence import Fd
from .failure import Failure
from .message import Message, data_text, decode, errno_text, fields_text
from .schema import BY_NUMBER, Field, command_name, constants

ERROR = constants.HEADER_FLAGS.ERROR
REPLY = constants.HEADER_FLAGS.REPLY
TYPE = constants.MASKS.HEADER_TYPE
OUTCOMES = ("success", "error", "close", "silence")


@dataclass(frozen=True)
class Limits:
    """What the server announced, with the specification's default for what it did not."""

    max_msg_fds: int = constants.DEFAULTS.MAX_MSG_FDS
    max_data_xfer_size: int = constants.DEFAULTS.MAX_DATA_XFER_SIZE
    max_dma_maps: int = constants.DEFAULTS.MAX_DMA_MAPS
    pgsizes: int = constants.DEFAULTS.PGSIZES
    write_multiple: bool = False


@dataclass(frozen=True)
class Sent:
    """What was sent. id and command are those on the wire, by which its reply is matched.

    shown: a Message or the bytes themselves; closed: the server had closed before all was sent.
    """

    shown: Message | bytes
    id: int
    command: int
    whole: bool
    fds: tuple[str, ...] = ()
    closed: bool = False

    def answered_by(self, came: Received) -> bool:
        """Is that the reply to it?"""
        return (came.header.id, came.header.command) == (self.id, self.command)

    def reply_size(self) -> int:
        """Bytes of payload that a successful reply has at least: its structure, or what argsz
        leaves of it."""
        row = BY_NUMBER.get(self.command)
        if row is None:
            return 0
        argsz = self.shown.values.get("argsz") if isinstance(self.shown, Message) else None
        return row.reply_size if argsz is None else min(row.reply_size, argsz)

    def text(self) -> str:
        """The message as it is shown in listings, with the kinds of its descriptors."""
        shown = self.shown.text() if isinstance(self.shown, Message) else data_text(self.shown)
        return f"{shown} fds=[{', '.join(self.fds)}]" if self.fds else shown


class Received:
    """A message from the server: header, payload, and the descriptors that came with it.

    Fields of the schema are attributes; one that the payload is too short for is a Failure.
    """

    fields: Mapping[str, Field] = {}

    def __init__(self, header: SimpleNamespace, payload: bytes, fds: list[Fd], channel: int):
        self.header = header
        self.payload = payload
        self.fds = fds
        self.channel = channel
        row = BY_NUMBER.get(header.command)
        self.fields = {} if row is None else row.reply if self.is_reply else row.request
        self.values = decode(self.fields, payload)

    @property
    def is_reply(self) -> bool:
        """Does its header say that it is a reply?"""
        return self.header.flags & TYPE == REPLY

    @property
    def data(self) -> bytes:
        """What follows the fixed part of the payload."""
        return self.payload[max((f.offset + f.width for f in self.fields.values()), default=0) :]

    def __getattr__(self, name: str) -> int:
        values = self.__dict__.get("values", {})
        if name in values:
            return values[name]
        if name in self.__dict__.get("fields", {}):
            raise Failure("reply.field", f"the payload ends before {name}", came=self.text())
        raise AttributeError(f"{command_name(self.header.command)} has no field {name!r}")

    def text(self) -> str:
        """The message as it is shown in listings."""
        name = command_name(self.header.command)
        fds = f" fds=[{', '.join(fd.kind for fd in self.fds)}]" if self.fds else ""
        if self.header.flags & ERROR:
            surplus = f" with a payload of {len(self.payload)} bytes" if self.payload else ""
            return f"error {errno_text(self.header.error)}{surplus}{fds}"
        shown = fields_text(name, self.fields, self.values, self.data)
        return f"{'reply' if self.is_reply else 'command'} {shown}{fds}"

    __repr__ = text


class Reply(Received):
    """A successful reply."""


class Refusal(Received):
    """An error reply."""

    @property
    def errno(self) -> int:
        """The error field: an errno, or 0 where the server gives no reason."""
        return self.header.error


class Request(Received):
    """A command that the server sent."""


@dataclass(frozen=True)
class Outcome:
    """How the server took something: kind is one of OUTCOMES, reply the one that came."""

    kind: str
    reply: Reply | Refusal | None = None

    def text(self) -> str:
        """The outcome as it is shown in listings."""
        return self.reply.text() if self.reply else self.kind


def kind_of(one: Any) -> str:
    """The word for what is passed: its kind, or what the kernel calls the descriptor."""
    if hasattr(one, "kind"):
        return one.kind
    try:
        number = one if isinstance(one, int) else one.fileno()
        return os.readlink(f"/proc/self/fd/{number}").split("/")[-1].split(" ")[0]
    except OSError:
        return str(one)


def capabilities_bytes(capabilities: Any) -> bytes:
    """The version data of VERSION: a dict goes under "capabilities" as JSON with its NUL; None is
    no version data at all; bytes are what they are."""
    if capabilities is None:
        return b""
    if isinstance(capabilities, bytes):
        return capabilities
    return json.dumps({"capabilities": dict(capabilities)}).encode() + b"\0"


def capabilities_of(data: bytes) -> dict[str, Any]:
    """The capabilities in the version data of a reply; ValueError if it is not what it has to be
    (VER-NEG-009, VER-JSON-009)."""
    if not data:
        return {}
    if not data.endswith(b"\0") or b"\0" in data[:-1]:
        raise ValueError("the version data does not end with its only NUL")
    whole = json.loads(data[:-1].decode("utf-8"))
    found = whole.get("capabilities", {}) if isinstance(whole, dict) else None
    if not isinstance(found, dict):
        raise ValueError("the version data is not an object with an object of capabilities")
    return found
