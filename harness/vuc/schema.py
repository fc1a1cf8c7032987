# SPDX-License-Identifier: BSD-3-Clause
"""The messages of the protocol, as the library describes them: commands, fields, constants.

Nothing is typed here a second time: COMMANDS (those of the specification), EXTENSION (those of the
vIOMMU extension), STRUCTURES (what stands inside variable tails), HEADER and CONSTANTS are read
from the library's tables when the module is imported. `constants.DMA_MAP_FLAGS.READ` is the number
of a name. Fields that the extension makes an attribute word take its names and `PASID=3` as well:
`flags="READ|WRITE|REPLACE|PASID=3"`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import reduce
from operator import or_
from types import SimpleNamespace
from typing import Any

from . import _abi


def _enum(name: str, prefix: str) -> Any:
    members = {key.removeprefix(prefix): value for key, value in _abi.ENUMS[name].items()}
    return IntEnum(name, members)


Role = _enum("vuc_role", "VUC_ROLE_")
Direction = _enum("vuc_direction", "VUC_")

NESTED = _abi.DEFINES["VUC_NESTED"]
FIRST_OF_EXTENSION = _abi.DEFINES["VUC_EXTENSION"]
_COUNT = "NUM"  # stands in a set of indexes for their number, and names none of them
_HEX = (Role.FLAGS, Role.OFFSET, Role.IOVA, Role.SIZE)
# Which fields are attribute words, and the set of names that each has beside PASID=n.
_ATTRIBUTES = {("DMA_MAP", "flags"): "DMA_MAP_ATTR", ("DMA_UNMAP", "flags"): "DMA_UNMAP_ATTR",
               ("PAGE_REQUEST", "attr"): "PAGE_REQUEST_ATTR"}
_PASID = "PASID="


@dataclass(frozen=True)
class Field:
    """One field: `offset` bytes from the start of the payload (of the header, for its fields),
    `width` bytes wide (0: the variable tail), in host byte order. `constants` name its bits, or
    its values; `choices` name what the bits under `mask` say, where they are a number.
    `attributes` name further bits of a word that may hold a PASID besides."""

    name: str
    offset: int
    width: int
    role: int
    constants: dict[str, int] = field(default_factory=dict, hash=False)
    choices: dict[str, int] = field(default_factory=dict, hash=False)
    mask: int = 0
    attributes: dict[str, int] = field(default_factory=dict, hash=False)  # of the extension

    @property
    def limit(self) -> int:
        """The first number that is too large for the field."""
        return 1 << (8 * self.width)

    def number(self, value: int | str) -> int:
        """The value of a number, or of names of the field's constants joined by '|'."""
        if isinstance(value, str):
            words = (word.strip() for word in value.split("|"))
            value = reduce(or_, (self._named(word) for word in words if word), 0)
        if not 0 <= value < self.limit:
            raise ValueError(f"{self.name}={value:#x} does not fit into {self.width} bytes")
        return int(value)

    def _named(self, word: str) -> int:
        names = {**self.constants, **self.choices, **self.attributes}
        if word in names:
            return names[word]
        if self.attributes and word.startswith(_PASID):
            return pasid_word(int(word.removeprefix(_PASID), 0))
        try:
            return int(word, 0)
        except ValueError:
            known = ", ".join(names) or "no names"
            raise ValueError(f"{self.name} takes {known}; not {word!r}") from None

    def text(self, value: int) -> str:
        """The value as it is shown: names where there are any, hexadecimal for addresses."""
        if self.attributes or (self.constants and self.role == Role.FLAGS):
            return self._flags_text(value)
        for name, number in self.constants.items():
            if number == value and name != _COUNT:
                return name
        return hex(value) if self.role in _HEX and value > 9 else str(value)

    def _flags_text(self, value: int) -> str:
        names = {**self.constants, **self.attributes}
        words = [name for name, bits in names.items() if bits and bits & value == bits]
        rest = value & ~reduce(or_, (names[name] for name in words), 0)
        if self.attributes and rest & constants.ATTR.PASID_VALID:
            words.append(f"{_PASID}{rest >> PASID_SHIFT}")
            rest &= ~(constants.ATTR.PASID_VALID | constants.MASKS.ATTR_PASID)
        for name, number in self.choices.items():
            if rest & self.mask == number:
                words.append(name)
                rest &= ~self.mask
                break
        if rest or not words:
            words.append(hex(rest) if rest > 9 else str(rest))
        return "|".join(words)


@dataclass(frozen=True)
class Command:
    """One command. Sizes are those of the fixed part of a payload, without the header."""

    name: str
    number: int
    to_client: bool
    request_size: int
    reply_size: int
    request_fds: int
    reply_fds: int
    request: dict[str, Field] = field(default_factory=dict, hash=False)
    reply: dict[str, Field] = field(default_factory=dict, hash=False)

    @property
    def request_tail(self) -> Field | None:
        """The field that stands for the variable tail of the request, if it has one."""
        return _tail(self.request)

    @property
    def reply_tail(self) -> Field | None:
        """The field that stands for the variable tail of the reply, if it has one."""
        return _tail(self.reply)


def _tail(fields: dict[str, Field]) -> Field | None:
    return next((row for row in fields.values() if row.role == Role.DATA), None)


def _rows(function: str, kind: str) -> Iterator[Any]:
    table = _abi.pointers[kind]()
    count = getattr(_abi.lib, function)(ctypes.byref(table))
    return (table[index] for index in range(count))


def _read_constants() -> dict[str, dict[str, int]]:
    sets: dict[str, dict[str, int]] = {}
    for row in _rows("vuc_constants", "vuc_constant"):
        sets.setdefault(row.set.decode(), {})[row.name.decode()] = row.value
    return sets


def _read_fields(sets: dict[str, dict[str, int]]) -> dict[tuple[int, int], dict[str, Field]]:
    # Where a set X and a mask X exist, a field of X_FLAGS holds one of X beside its bits.
    found: dict[tuple[int, int], dict[str, Field]] = {}
    names = {row.number: row.name.decode() for row in _rows("vuc_commands", "vuc_command")}
    for row in _rows("vuc_fields", "vuc_field"):
        attributes = _ATTRIBUTES.get((names.get(row.command), row.name.decode()), "")
        named = row.constants.decode() if row.constants else ""
        part = named.removesuffix("_FLAGS")
        mask = sets["MASKS"].get(part, 0) if part in sets else 0
        made = Field(row.name.decode(), row.offset, row.width, row.role, sets.get(named, {}),
                     sets[part] if mask else {}, mask, sets.get(attributes, {}))
        found.setdefault((row.command, row.in_reply), {})[made.name] = made
    return found


def _read_commands(fields: dict[tuple[int, int], dict[str, Field]]) -> dict[str, Command]:
    return {
        row.name.decode(): Command(
            name=row.name.decode(),
            number=row.number,
            to_client=row.direction == Direction.TO_CLIENT,
            request_size=row.request_size,
            reply_size=row.reply_size,
            request_fds=row.request_fds,
            reply_fds=row.reply_fds,
            request=fields.get((row.number, 0), {}),
            reply=fields.get((row.number, 1), {}),
        )
        for row in _rows("vuc_commands", "vuc_command")
    }


CONSTANTS = _read_constants()
_fields = _read_fields(CONSTANTS)
HEADER = _fields[(0, 0)]
HEADER_SIZE = max(row.offset + row.width for row in HEADER.values())
_commands = _read_commands(_fields)

COMMANDS = {name: row for name, row in _commands.items() if row.number < FIRST_OF_EXTENSION}
STRUCTURES = {name: row for name, row in _commands.items() if row.number >= NESTED}
EXTENSION = {name: row for name, row in _commands.items()
             if name not in COMMANDS and name not in STRUCTURES}
ON_THE_WIRE = {**COMMANDS, **EXTENSION}
BY_NUMBER = {row.number: row for row in ON_THE_WIRE.values()}
constants = SimpleNamespace(**{name: SimpleNamespace(**row) for name, row in CONSTANTS.items()})
PASID_SHIFT = (constants.MASKS.ATTR_PASID & -constants.MASKS.ATTR_PASID).bit_length() - 1


def pasid_word(pasid: int | None) -> int:
    """The bits of an attribute word that name a space; None is the space without PASID."""
    return 0 if pasid is None else constants.ATTR.PASID_VALID | pasid << PASID_SHIFT


def pasid_of(word: int) -> int | None:
    """The PASID of an attribute word; None where there is none."""
    return word >> PASID_SHIFT if word & constants.ATTR.PASID_VALID else None


def command_name(number: int) -> str:
    """The name of a command as it is shown: "dma_map", or "command_99" for one without a row."""
    command = BY_NUMBER.get(number)
    return command.name.lower() if command else f"command_{number}"
