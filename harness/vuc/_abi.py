# SPDX-License-Identifier: BSD-3-Clause
"""The C interface of libvuc.so (harness/vuc.h) for Python, and nothing more.

Three tables mirror the header: ENUMS, STRUCTS and FUNCTIONS; tests/test_abi.py compares each
with what the C compiler says. The library is $VUC_LIBRARY or build/libvuc.so of this tree.

Functions are called through `call`, which turns a negative errno into an OSError. Pointers that a
function hands out are owned as vuc.h says; nothing is freed here.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import (
    POINTER, Structure, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint8, c_uint16,
    c_uint32, c_uint64, c_void_p,
)
from pathlib import Path
from typing import Any

DEFINES = {"VUC_ABI_VERSION": 1, "VUC_NESTED": 0x10000, "VUC_EXTENSION": 100, "VUC_MAX_FDS": 253,
           "VUC_PROGRAM_SIZE": 0x100000, "VUC_FLOOD_ERRORS": 8, "VUC_FLOOD_BUCKETS": 160}

ENUMS: dict[str, dict[str, int]] = {
    "vuc_role": {
        "VUC_ROLE_VALUE": 0,
        "VUC_ROLE_ARGSZ": 1,
        "VUC_ROLE_FLAGS": 2,
        "VUC_ROLE_INDEX": 3,
        "VUC_ROLE_COUNT": 4,
        "VUC_ROLE_START": 5,
        "VUC_ROLE_LENGTH": 6,
        "VUC_ROLE_OFFSET": 7,
        "VUC_ROLE_IOVA": 8,
        "VUC_ROLE_SIZE": 9,
        "VUC_ROLE_RESERVED": 10,
        "VUC_ROLE_DATA": 11,
    },
    "vuc_direction": {"VUC_TO_SERVER": 0, "VUC_TO_CLIENT": 1},
    "vuc_channel": {"VUC_MAIN": 0, "VUC_TWIN": 1},
    "vuc_send_flags": {"VUC_SEND_PACED": 1, "VUC_SEND_MAYBE": 2},
    "vuc_target_phase": {
        "VUC_TARGET_RUNNING": 0,
        "VUC_TARGET_EXITED": 1,
        "VUC_TARGET_KILLED": 2,
        "VUC_TARGET_GONE": 3,
        "VUC_TARGET_UNKNOWN": 4,
    },
    "vuc_oracle": {"VUC_ORACLE_LEASE": 1, "VUC_ORACLE_SEAL": 2, "VUC_ORACLE_PIPE": 4},
    "vuc_flood_flags": {"VUC_FLOOD_UNREAD": 1, "VUC_FLOOD_STOP": 2},
    "vuc_steady_flags": {"VUC_STEADY_TIMED": 1, "VUC_STEADY_AGAIN": 2},
}

# Fields that are pointers to other structures of the table name them as "struct*"; arrays of them
# are (struct, length).
STRUCTS: dict[str, list[tuple[str, Any]]] = {
    "vuc_command": [
        ("name", c_char_p),
        ("number", c_uint32),
        ("direction", c_uint32),
        ("request_size", c_uint32),
        ("reply_size", c_uint32),
        ("request_fds", c_uint32),
        ("reply_fds", c_uint32),
    ],
    "vuc_field": [
        ("name", c_char_p),
        ("constants", c_char_p),
        ("command", c_uint32),
        ("in_reply", c_uint32),
        ("offset", c_uint32),
        ("width", c_uint32),
        ("role", c_uint32),
    ],
    "vuc_constant": [("set", c_char_p), ("name", c_char_p), ("value", c_uint64)],
    "vuc_part": [("end", c_uint32), ("nfds", c_uint32)],
    "vuc_message": [
        ("id", c_uint16),
        ("command", c_uint16),
        ("msg_size", c_uint32),
        ("flags", c_uint32),
        ("error", c_uint32),
        ("body", POINTER(c_uint8)),
        ("fds", POINTER(c_int32)),
        ("nfds", c_uint32),
        ("channel", c_uint32),
    ],
    "vuc_send": [
        ("bytes", c_void_p),
        ("size", c_size_t),
        ("fds", POINTER(c_int32)),
        ("nfds", c_size_t),
        ("parts", "vuc_part*"),
        ("nparts", c_size_t),
        ("channel", c_uint32),
        ("flags", c_uint32),
        ("timeout_ms", c_int32),
    ],
    "vuc_violation": [("code", c_char * 48), ("requirement", c_char * 24), ("text", c_char * 200)],
    "vuc_finding": [
        ("code", c_char * 48),
        ("requirement", c_char * 24),
        ("text", c_char * 240),
        ("id", c_uint16),
        ("command", c_uint16),
    ],
    "vuc_target_state": [
        ("phase", c_uint32),
        ("status", c_int32),
        ("pid", c_int32),
        ("sanitizer", c_uint32),
    ],
    "vuc_start": [
        ("argv", POINTER(c_char_p)),
        ("env", POINTER(c_char_p)),
        ("socket_path", c_char_p),
        ("log_path", c_char_p),
        ("fds", POINTER(c_int32)),
        ("nfds", c_size_t),
        ("limit_nofile", c_int64),
    ],
    "vuc_resources": [
        ("fds", c_int64),
        ("vmas", c_int64),
        ("threads", c_int64),
        ("rss_anon_kib", c_int64),
        ("rss_file_kib", c_int64),
        ("rss_shmem_kib", c_int64),
        ("page_tables_kib", c_int64),
        ("cpu_ms", c_int64),
    ],
    "vuc_flood_stride": [
        ("offset", c_uint32),
        ("width", c_uint32),
        ("base", c_uint64),
        ("step", c_uint64),
        ("period", c_uint64),
        ("scatter", c_uint32),
        ("reserved", c_uint32),
    ],
    "vuc_flood_spec": [
        ("message", c_void_p),
        ("size", c_uint32),
        ("window", c_uint32),
        ("first", c_uint64),
        ("count", c_uint64),
        ("strides", "vuc_flood_stride*"),
        ("nstrides", c_uint32),
        ("flags", c_uint32),
        ("fds", POINTER(c_int32)),
        ("nfds", c_uint32),
        ("each", c_uint32),
        ("memfd_size", c_uint64),
        ("timeout_ms", c_int32),
        ("reserved", c_uint32),
    ],
    "vuc_flood_error": [("count", c_uint64), ("error", c_uint32), ("reserved", c_uint32)],
    "vuc_flood_result": [
        ("sent", c_uint64),
        ("succeeded", c_uint64),
        ("refused", c_uint64),
        ("first_refused", c_uint64),
        ("commands", c_uint64),
        ("bytes", c_uint64),
        ("elapsed_ns", c_uint64),
        ("errors", ("vuc_flood_error", DEFINES["VUC_FLOOD_ERRORS"])),
        ("latency", c_uint64 * DEFINES["VUC_FLOOD_BUCKETS"]),
        ("waiting", c_uint64),
    ],
    "vuc_steady_step": [
        ("message", c_void_p),
        ("expected", c_void_p),
        ("size", c_uint32),
        ("expected_size", c_uint32),
        ("offset", c_uint32),
        ("flags", c_uint32),
        ("fd", c_int32),
        ("reserved", c_uint32),
    ],
    "vuc_steady_result": [
        ("rounds", c_uint64),
        ("timed", c_uint64),
        ("longest_ns", c_uint64),
        ("latency", c_uint64 * DEFINES["VUC_FLOOD_BUCKETS"]),
        ("error", c_int32),
        ("step", c_uint32),
    ],
}

# Handles: structures that only the library looks into.
HANDLES = ("vuc_client", "vuc_target", "vuc_memory", "vuc_probe", "vuc_flood", "vuc_steady")


def _kind(made: dict[str, type[Structure]], kind: Any) -> Any:
    if isinstance(kind, tuple):
        return made[kind[0]] * kind[1]
    return POINTER(made[kind[:-1]]) if isinstance(kind, str) else kind


def _declare() -> dict[str, type[Structure]]:
    made: dict[str, type[Structure]] = {name: type(name, (Structure,), {}) for name in HANDLES}
    for name, fields in STRUCTS.items():
        kinds = [(field, _kind(made, kind)) for field, kind in fields]
        made[name] = type(name, (Structure,), {"_fields_": kinds})
    return made


types = _declare()
pointers = {name: POINTER(kind) for name, kind in types.items()}
_client, _target, _memory, _probe, _flood, _steady, _message = (
    pointers[name] for name in (*HANDLES, "vuc_message")
)


def _table(name: str) -> tuple[type, list]:
    return c_size_t, [POINTER(pointers[name])]


# name: (result, arguments)
FUNCTIONS: dict[str, tuple[Any, list]] = {
    "vuc_abi_version": (c_uint32, []),
    "vuc_commands": _table("vuc_command"),
    "vuc_fields": _table("vuc_field"),
    "vuc_constants": _table("vuc_constant"),
    "vuc_client_connect": (c_int, [c_char_p, c_int, POINTER(_client)]),
    "vuc_client_adopt": (c_int, [c_int, POINTER(_client)]),
    "vuc_client_free": (None, [_client]),
    "vuc_client_adopt_twin": (c_int, [_client, c_int]),
    "vuc_client_fd": (c_int, [_client, c_uint32]),
    "vuc_client_set_max_fds": (None, [_client, c_uint32]),
    "vuc_client_set_page_requests": (None, [_client, c_uint32]),
    "vuc_client_set_poc": (None, [_client]),
    "vuc_client_unread": (c_int, [_client]),
    "vuc_client_send": (c_int, [_client, pointers["vuc_send"]]),
    "vuc_client_recv": (c_int, [_client, c_uint32, c_int, POINTER(_message)]),
    "vuc_client_recv_reply": (c_int, [_client, c_uint16, c_uint16, c_int, POINTER(_message)]),
    "vuc_client_recv_request": (c_int, [_client, c_int, POINTER(_message)]),
    "vuc_message_take_fd": (c_int, [_message, c_uint32]),
    "vuc_message_free": (None, [_message]),
    "vuc_client_violation": (c_uint32, [_client, c_uint32, pointers["vuc_violation"]]),
    "vuc_client_outstanding": (c_uint32, [_client]),
    "vuc_client_shutdown": (c_int, [_client]),
    "vuc_client_judged": (c_int, [_client, POINTER(c_char_p)]),
    "vuc_client_unjudged": (None, [_client]),
    "vuc_client_recorded": (c_int, [_client]),
    "vuc_client_program": (c_int, [_client, c_char_p, c_size_t]),
    "vuc_client_finding": (c_uint32, [_client, c_uint32, pointers["vuc_finding"]]),
    "vuc_target_start": (c_int, [pointers["vuc_start"], POINTER(_target)]),
    "vuc_target_attach": (c_int, [c_char_p, POINTER(_target)]),
    "vuc_target_wait_ready": (c_int, [_target, c_int]),
    "vuc_target_wait_exit": (c_int, [_target, c_int]),
    "vuc_target_state": (c_int, [_target, pointers["vuc_target_state"]]),
    "vuc_target_signal": (c_int, [_target, c_int]),
    "vuc_target_stop": (c_int, [_target, c_int, pointers["vuc_target_state"]]),
    "vuc_target_free": (None, [_target]),
    "vuc_target_stacks": (c_int, [_target, c_char_p, c_size_t]),
    "vuc_target_resources": (c_int, [_target, pointers["vuc_resources"]]),
    "vuc_oracle_selftest": (c_int, [c_char_p, c_size_t]),
    "vuc_memory_create": (c_int, [c_uint64, POINTER(_memory)]),
    "vuc_memory_free": (None, [_memory]),
    "vuc_memory_fd": (c_int, [_memory]),
    "vuc_memory_close_fd": (None, [_memory]),
    "vuc_memory_held": (c_int, [_memory]),
    "vuc_memory_mapped": (c_int, [_memory]),
    "vuc_memory_read": (c_int, [_memory, c_uint64, c_void_p, c_size_t]),
    "vuc_memory_write": (c_int, [_memory, c_uint64, c_void_p, c_size_t]),
    "vuc_memory_fill": (c_int, [_memory, c_uint32]),
    "vuc_memory_differs": (c_int64, [_memory, c_uint32]),
    "vuc_memory_truncate": (c_int, [_memory, c_uint64]),
    "vuc_probe_create": (c_int, [POINTER(_probe)]),
    "vuc_probe_free": (None, [_probe]),
    "vuc_probe_fd": (c_int, [_probe]),
    "vuc_probe_close_fd": (None, [_probe]),
    "vuc_probe_released": (c_int, [_probe, c_int]),
    "vuc_probe_bytes": (c_int64, [_probe]),
    "vuc_flood_open": (c_int, [c_int, POINTER(_flood)]),
    "vuc_flood_free": (None, [_flood]),
    "vuc_flood_run": (c_int, [_flood, pointers["vuc_flood_spec"], pointers["vuc_flood_result"]]),
    "vuc_flood_read": (
        c_int, [_flood, c_uint64, c_uint32, c_int32, pointers["vuc_flood_result"]]
    ),
    "vuc_flood_calibrate": (c_int64, [c_uint32]),
    "vuc_steady_start": (
        c_int, [c_int, pointers["vuc_steady_step"], c_uint32, c_int32, POINTER(_steady)]
    ),
    "vuc_steady_stop": (None, [_steady, c_uint64, pointers["vuc_steady_result"]]),
}


class LibraryError(ImportError):
    """libvuc.so is not there or is not the one that this package was written for."""


def library_path() -> Path:
    """Where the library is looked for: $VUC_LIBRARY, else build/libvuc.so of this tree."""
    built = Path(__file__).resolve().parents[2] / "build" / "libvuc.so"
    return Path(os.environ.get("VUC_LIBRARY") or built)


def load(path: Path) -> ctypes.CDLL:
    """Open the library and declare its functions; LibraryError says what is wrong with it."""
    if not path.exists():
        raise LibraryError(f"{path} does not exist: run `make build/libvuc.so` or set VUC_LIBRARY")
    try:
        library = ctypes.CDLL(str(path))
        version = int(library.vuc_abi_version())
    except (OSError, AttributeError) as error:
        raise LibraryError(f"{path} is no harness library: {error}") from error
    if version != DEFINES["VUC_ABI_VERSION"]:
        raise LibraryError(
            f"{path} has ABI version {version}, this package needs {DEFINES['VUC_ABI_VERSION']}: "
            "build it again"
        )
    for name, (result, arguments) in FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise LibraryError(f"{path} has no {name}: build it again") from error
        function.restype = result
        function.argtypes = arguments
    return library


lib = load(library_path())


def check(result: int, what: str) -> int:
    """`result` unless it is a negative errno, which becomes an OSError that names `what`."""
    if result < 0:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")
    return result


def call(name: str, *arguments: Any) -> int:
    """Call vuc_`name`; a negative result is raised as an OSError."""
    return check(getattr(lib, "vuc_" + name)(*arguments), name)


def create(name: str, handle: str, *arguments: Any) -> Any:
    """Call vuc_`name`, whose last argument hands out a `handle`; returns it, the caller's."""
    out = pointers[handle]()
    call(name, *arguments, ctypes.byref(out))
    return out


def strings(words: list[str]) -> Any:
    """A NULL-terminated char *[] of the words."""
    encoded = [os.fsencode(word) for word in words]
    return (c_char_p * (len(encoded) + 1))(*encoded, None)
