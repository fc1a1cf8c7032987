# SPDX-License-Identifier: BSD-3-Clause
"""A profile: what the suite is told about one server under test (cases/targets/*.toml).

How it is started or reached, how long it lives, what it offers beyond what can be asked, how it
reads the specification, and which failures are known. Unknown keys are errors that name the file
and the key.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .register import FEATURES, READING_VALUES, READINGS, STRICT

SCHEMA = 1
SESSIONS = ("many", "sequential", "one")
DEVICES = ("any", "vdma")
WIDTHS = (1, 2, 4, 8)
DIALECTS = ("native", "poc")  # of the vIOMMU extension; the latter negotiates nothing


class ProfileError(ValueError):
    """A profile that can not be used; the message names the file and the key."""


@dataclass(frozen=True)
class StorePlace:
    """Where the device keeps what is written: `size` bytes at `offset`, accessed by `width`."""

    region: int
    offset: int
    width: int
    size: int


@dataclass(frozen=True)
class Known:
    """A failure that is expected: glob over case ids, failure code, reason, optional link. A flaky
    one may also stay away: the case passes or fails as the server's timing has it."""

    case: str
    code: str
    reason: str
    link: str = ""
    flaky: bool = False


@dataclass(frozen=True)
class Variant:
    """The server as it is with further options, which let it offer other things."""

    name: str
    options: tuple[str, ...]
    features: Mapping[str, bool]


@dataclass(frozen=True)
class Profile:
    """One server under test. Either `argv` (the harness starts it) or `socket` (attach) is set.

    argv: words, `{socket}` stands for the path that the server has to listen on; a program with
    a slash in its name is looked up from the working directory.
    sessions: "many" at a time, "sequential" (one after the other), "one" (the process ends with
    its connection); None = not known, to be found out.
    readings: "strict" or "lenient" by name; what is not named is lenient. Where any is named, a
    model judges every exchange besides (Connection.judged).
    prefix: the folder under which it is installed; None = it is not.
    """

    name: str
    argv: tuple[str, ...] = ()
    socket: str | None = None
    device: str = "any"
    sessions: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, bool] = field(default_factory=dict)
    readings: Mapping[str, str] = field(default_factory=dict)
    store: StorePlace | None = None
    known: tuple[Known, ...] = ()
    variants: tuple[Variant, ...] = ()
    prefix: Path | None = None
    path: Path | None = None

    @property
    def strict(self) -> list[str]:
        """The ambiguities that are read strictly."""
        return [name for name, value in self.readings.items() if value == STRICT]

    def varied(self, variant: Variant) -> Profile:
        """This profile with the variant's options and features, and without variants."""
        features = {**self.features, **variant.features}
        argv = (*self.argv, *variant.options)
        return replace(self, argv=argv, features=features, variants=())

    def speaking(self, dialect: str) -> Profile:
        """This profile of a server to which one of the DIALECTS is spoken."""
        features = {"poc": True, "viommu": False} if dialect == "poc" else {"poc": False}
        return replace(self, features={**self.features, **features})


class _Table:
    """Takes typed values out of a TOML table and complains about what is left."""

    def __init__(self, values: Any, place: str):
        if not isinstance(values, dict):
            raise ProfileError(f"{place}: must be a table")
        self.values = dict(values)
        self.place = place

    def take(self, key: str, kind: type, default: Any = ...) -> Any:
        value = self.values.pop(key, default)
        if value is ...:
            raise ProfileError(f"{self.place}: key {key!r} is missing")
        if value is default:
            return value
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ProfileError(f"{self.place}: key {key!r} must be of type {kind.__name__}")
        return value

    def choice(self, key: str, allowed: tuple, kind: type, default: Any = ...) -> Any:
        value = self.take(key, kind, default)
        if value is not default and value not in allowed:
            raise ProfileError(
                f"{self.place}: key {key!r} is {value!r}, must be one of "
                + ", ".join(map(str, allowed))
            )
        return value

    def sub(self, key: str) -> _Table:
        return _Table(self.values.pop(key, {}), f"{self.place}: [{key}]")

    def end(self) -> None:
        if self.values:
            raise ProfileError(f"{self.place}: unknown key {sorted(self.values)[0]!r}")


def _argv(table: _Table, socket: str | None) -> tuple[str, ...]:
    words = table.take("argv", list, [])
    if not all(isinstance(word, str) for word in words):
        raise ProfileError(f"{table.place}: key 'argv' must hold strings")
    if bool(words) == bool(socket):
        raise ProfileError(f"{table.place}: give either 'argv' or 'socket'")
    if words and not any("{socket}" in word for word in words):
        raise ProfileError(f"{table.place}: key 'argv' must contain {{socket}}")
    return tuple(words)


def _features(table: _Table) -> dict[str, bool]:
    for name, value in table.values.items():
        if name not in FEATURES:
            raise ProfileError(f"{table.place}: unknown key {name!r}")
        if not isinstance(value, bool):
            raise ProfileError(f"{table.place}: key {name!r} must be true or false")
    return dict(table.values)


def _readings(table: _Table) -> dict[str, str]:
    chosen = {
        name: table.choice(name, READING_VALUES, str)
        for name in list(table.values) if name in READINGS
    }
    table.end()
    return chosen


def _prefix(table: _Table) -> Path | None:
    prefix = table.take("prefix", str, None)
    return None if prefix is None else Path(prefix)


def _device(table: _Table) -> tuple[str, StorePlace | None]:
    """`device = "vdma"`, or a table [device] with `kind` and `store`."""
    if isinstance(table.values.get("device"), str):
        return table.choice("device", DEVICES, str), None
    device = table.sub("device")
    kind = device.choice("kind", DEVICES, str, "any")
    place = device.sub("store") if "store" in device.values else None
    device.end()
    return kind, _store(place) if place else None


def _store(table: _Table) -> StorePlace:
    width = table.choice("width", WIDTHS, int)
    store = StorePlace(
        table.take("region", int), table.take("offset", int), width, table.take("size", int, width)
    )
    table.end()
    return store


def _known(rows: list, place: str) -> tuple[Known, ...]:
    known: list[Known] = []
    for number, row in enumerate(rows, 1):
        table = _Table(row, f"{place}: [[known]] {number}")
        cases, codes = _words(table, "case"), _words(table, "code")
        reason, link = table.take("reason", str), table.take("link", str, "")
        flaky = table.take("flaky", bool, False)
        known += [Known(case, code, reason, link, flaky) for case in cases for code in codes]
        table.end()
    return tuple(known)


def _variants(rows: list, place: str, attached: bool) -> tuple[Variant, ...]:
    variants = []
    for number, row in enumerate(rows, 1):
        table = _Table(row, f"{place}: [[variants]] {number}")
        features = _features(table.sub("features"))
        options = tuple(_words(table, "options"))
        variants.append(Variant(table.take("name", str), options, features))
        table.end()
    if attached and variants:
        raise ProfileError(f"{place}: [[variants]] are for a server that is started, by 'argv'")
    return tuple(variants)


def _words(table: _Table, key: str) -> list[str]:
    """A string, or a list of several."""
    if not isinstance(table.values.get(key), list):
        return [table.take(key, str)]
    words = table.take(key, list)
    if not words or not all(isinstance(word, str) for word in words):
        raise ProfileError(f"{table.place}: key {key!r} must hold strings")
    return words


def profile_from(values: dict, place: str, path: Path | None = None) -> Profile:
    """Checks the parsed contents of a file; `place` stands at the head of what is wrong."""
    table = _Table(values, place)
    table.choice("schema", (SCHEMA,), int)
    socket = table.take("socket", str, None)
    env = table.sub("env")
    device, store = _device(table)
    profile = Profile(
        name=table.take("name", str),
        argv=_argv(table, socket),
        socket=socket,
        device=device,
        sessions=table.choice("sessions", SESSIONS, str, None),
        env={key: env.take(key, str) for key in list(env.values)},
        features=_features(table.sub("features")),
        readings=_readings(table.sub("readings")),
        store=store,
        known=_known(table.take("known", list, []), place),
        variants=_variants(table.take("variants", list, []), place, socket is not None),
        prefix=_prefix(table),
        path=path,
    )
    table.end()
    if not profile.name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ProfileError(f"{place}: key 'name' must be usable as a file name")
    return profile


def load_profile(path: str | Path) -> Profile:
    """Reads a target file; raises ProfileError, also when there is no such file."""
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{path}: {error}") from error
    return profile_from(values, str(path), path)


def choose_profile(target: str | None, server: str | None, socket: str | None) -> Profile:
    """The profile that the options ask for.

    A command or a socket alone makes an ad hoc profile; together with a file it takes the place
    of how that file says the server is started, and everything else of the file holds.
    """
    if server and socket:
        raise ProfileError("--server and --socket exclude each other")
    if not (target or server or socket):
        raise ProfileError("no server to test: give --target FILE, --server CMD or --socket PATH")
    name = "server" if server else "socket"
    profile = load_profile(target) if target else Profile(name=name)
    if server:
        words = shlex.split(server)
        if not any("{socket}" in word for word in words):
            raise ProfileError("--server: the command must contain {socket}")
        return replace(profile, argv=tuple(words), socket=None)
    if socket:
        return replace(profile, argv=(), socket=socket, variants=())
    return profile
