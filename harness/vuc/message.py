# SPDX-License-Identifier: BSD-3-Clause
"""Messages that a client sends, made from the schema: a good one first, then one thing wrong.

`message("DMA_MAP", flags="READ|WRITE", address=0x1000, size=0x1000)` is well-formed; what is not
given takes a default by its role. A Message is immutable; `replace`, `cut`, `extend` and
`with_header` return a changed copy. `structure` and `parse` do the same for what stands inside the
variable tails. Numbers are in host byte order on the wire, as the specification says.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from errno import errorcode
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from .schema import (
    BY_NUMBER, HEADER, HEADER_SIZE, ON_THE_WIRE, STRUCTURES, Command, Field, Role, command_name,
    constants,
)

GENEROUS_ARGSZ = 4096  # room for the reply of a GET command: a page
SHOWN_BYTES = 16
SHOWN_TEXT = 96


def encode(fields: Mapping[str, Field], size: int, values: Mapping[str, int]) -> bytes:
    """`size` bytes with the values at the places of their fields and zero elsewhere."""
    image = bytearray(size)
    for name, value in values.items():
        row = fields[name]
        image[row.offset : row.offset + row.width] = value.to_bytes(row.width, sys.byteorder)
    return bytes(image)


def decode(fields: Mapping[str, Field], image: bytes, start: int = 0) -> dict[str, int]:
    """The values of all fields (the tail excepted) that lie completely inside the image."""
    return {
        row.name: int.from_bytes(image[start + row.offset : start + row.offset + row.width],
                                 sys.byteorder)
        for row in fields.values()
        if row.width and start + row.offset + row.width <= len(image)
    }


def errno_text(number: int) -> str:
    """EEXIST for 17; the number itself where it has no name."""
    return errorcode.get(number, str(number))


def data_text(data: bytes) -> str:
    """Bytes as they are shown: as text where they are, else length and first bytes."""
    body = data[:-1] if data.endswith(b"\0") else data
    if body and body.isascii() and body.decode().isprintable():
        text = body.decode() + ("\\0" if body is not data else "")
        more = f"... {len(data)} bytes" if len(text) > SHOWN_TEXT else ""
        return f"'{text[:SHOWN_TEXT]}'{more}"
    more = "..." if len(data) > SHOWN_BYTES else ""
    return f"<{len(data)} bytes: {data[:SHOWN_BYTES].hex(' ')}{more}>"


def fields_text(name: str, fields: Mapping[str, Field], values: Mapping[str, int],
                data: bytes = b"") -> str:
    """`name(field=value, ...)`, without reserved fields that are zero."""
    words = [
        f"{key}={fields[key].text(value)}"
        for key, value in values.items()
        if value or fields[key].role != Role.RESERVED
    ]
    return f"{name}({', '.join(words + ([f'data={data_text(data)}'] if data else []))})"


def _tail_bytes(row: Command, data: Any) -> bytes:
    if isinstance(data, str):
        data = data.encode()
    if data and row.request_tail is None:
        raise TypeError(f"{row.name} has no variable data; use extend()")
    return bytes(data)


def _default(row: Command, one: Field, given: Mapping[str, int], size: int) -> int:
    if one.role == Role.LENGTH and row.request_tail is not None:
        return size
    if one.role != Role.ARGSZ:
        return 0
    if "GET_" in row.name or row.name == "DEVICE_FEATURE":
        return max(GENEROUS_ARGSZ, row.request_size + size)
    if row.request_tail is None:
        size = sum(given.get(f.name, 0) for f in row.request.values() if f.role == Role.LENGTH)
    return row.request_size + size


def _values(row: Command, given: Mapping[str, Any], size: int) -> dict[str, int]:
    fixed = {name: one for name, one in row.request.items() if one.width}
    unknown = given.keys() - fixed.keys()
    if unknown:
        name = sorted(unknown)[0]
        raise TypeError(f"{row.name} has no field {name!r}; it has {', '.join(fixed)}")
    set_values = {name: fixed[name].number(value) for name, value in given.items()}
    return {
        name: set_values[name] if name in set_values else _default(row, one, set_values, size)
        for name, one in fixed.items()
    }


@dataclass(frozen=True)
class Message:
    """One message of the client, without its id and descriptors. Made by `message`/`unknown`.

    fields: what was given, by name; data: the variable tail; header: fields of the header that
    are not what they should be; shape: the cuts and extensions of the payload, in order.
    """

    name: str
    number: int
    fields: Mapping[str, int | str] = field(default_factory=dict)
    data: bytes = b""
    header: Mapping[str, int] = field(default_factory=dict)
    no_reply: bool = False
    shape: tuple[tuple[str, int | bytes], ...] = ()

    @cached_property
    def row(self) -> Command | None:
        """The schema's row of the command; None for an unknown one."""
        return ON_THE_WIRE.get(self.name)

    @cached_property
    def values(self) -> dict[str, int]:
        """All fields of the fixed part, as numbers, defaults included."""
        return _values(self.row, self.fields, len(self.data)) if self.row else {}

    @cached_property
    def payload(self) -> bytes:
        """What follows the header."""
        image = self.data
        if self.row:
            image = encode(self.row.request, self.row.request_size, self.values) + self.data
        for step, what in self.shape:
            image = image[:what] if step == "cut" else image + what
        return image

    def replace(self, **changes: Any) -> Message:
        """A copy with other values for some fields, or for data=, header=, no_reply=."""
        own = {key: changes.pop(key) for key in ("data", "header", "no_reply") if key in changes}
        if "data" in own and self.row:
            own["data"] = _tail_bytes(self.row, own["data"])
        if "header" in own:
            own["header"] = _header_values(own["header"])
        made = replace(self, fields={**self.fields, **changes}, **own)
        made.values  # noqa: B018 - names and numbers are checked here, not when it is sent
        return made

    def cut(self, size: int) -> Message:
        """A copy whose payload ends after `size` bytes; the header tells so."""
        return replace(self, shape=(*self.shape, ("cut", size)))

    def extend(self, surplus: bytes) -> Message:
        """A copy with bytes appended to the payload; the header tells so."""
        return replace(self, shape=(*self.shape, ("extend", bytes(surplus))))

    def with_header(self, **changes: int | str) -> Message:
        """A copy with other values in its header: id, command, msg_size, flags, error."""
        return replace(self, header={**self.header, **_header_values(changes)})

    def header_values(self, message_id: int) -> dict[str, int]:
        """All fields of the header, as they are sent."""
        return {
            "id": message_id,
            "command": self.number,
            "msg_size": HEADER_SIZE + len(self.payload),
            "flags": constants.HEADER_FLAGS.NO_REPLY if self.no_reply else 0,
            "error": 0,
            **self.header,
        }

    def bytes(self, message_id: int = 0) -> bytes:
        """The message as it goes over the wire."""
        return encode(HEADER, HEADER_SIZE, self.header_values(message_id)) + self.payload

    def text(self) -> str:
        """The message as it is shown in listings."""
        if self.row:
            shown = fields_text(self.name.lower(), self.row.request, self.values, self.data)
        else:
            shown = fields_text(command_name(self.number), {}, {}, self.data)
        deviations = [f"{key}: {HEADER[key].text(value)}" for key, value in self.header.items()]
        deviations += ["no_reply"] if self.no_reply else []
        deviations += [
            f"cut: {what}" if step == "cut" else f"surplus: {len(what)}"
            for step, what in self.shape
        ]
        return f"{shown} ({', '.join(deviations)})" if deviations else shown

    def __str__(self) -> str:
        return self.text()


def _header_values(header: Mapping[str, int | str] | None) -> dict[str, int]:
    unknown = (header or {}).keys() - HEADER.keys()
    if unknown:
        raise TypeError(f"the header has no field {sorted(unknown)[0]!r}")
    return {name: HEADER[name].number(value) for name, value in (header or {}).items()}


def message(
    name: str,
    *,
    data: bytes | str = b"",
    header: Mapping[str, int | str] | None = None,
    no_reply: bool = False,
    **fields: int | str,
) -> Message:
    """A message by the name of its command; see Message. Wrong names are a TypeError.

    Defaults: argsz is the size of what is sent, or a page for commands whose reply it limits; the
    length of a tail is that of `data`; everything else is zero.
    """
    row = ON_THE_WIRE.get(name)
    if row is None:
        raise TypeError(f"no command {name!r}; there are {', '.join(ON_THE_WIRE)}")
    made = Message(name, row.number, dict(fields), _tail_bytes(row, data),
                   _header_values(header), no_reply)
    made.values  # noqa: B018 - names and numbers are checked here, not when it is sent
    return made


def unknown(number: int, payload: bytes = b"", *, no_reply: bool = False) -> Message:
    """A message with any command number and a payload that no schema describes."""
    return Message(f"command {number}", number, data=bytes(payload), no_reply=no_reply)


def reply_payload(number: int, values: Mapping[str, int | str], data: bytes = b"") -> bytes:
    """The payload of a reply to command `number`, as the client sends it to a server's command."""
    row = BY_NUMBER[number]
    numbers = {name: row.reply[name].number(value) for name, value in values.items()}
    return encode(row.reply, row.reply_size, numbers) + data


def structure(name: str, *, tail: bytes = b"", **fields: int | str) -> bytes:
    """The bytes of a structure that stands inside variable data, for instance
    structure("WRITE_MULTI_ENTRY", ...); `tail` is appended."""
    row = STRUCTURES[name]
    return encode(row.request, row.request_size, _values(row, fields, len(tail))) + tail


def parse(name: str, image: bytes, offset: int = 0) -> SimpleNamespace:
    """The structure `name` at `offset` of the image, its fields as attributes, and the bytes
    behind its fixed part as `.rest`; ValueError if the image ends before it does."""
    row = STRUCTURES[name]
    if offset < 0 or offset + row.request_size > len(image):
        raise ValueError(f"{name} at {offset} ends behind the {len(image)} bytes that there are")
    rest = image[offset + row.request_size :]
    return SimpleNamespace(**decode(row.request, image, offset), rest=rest)
