# SPDX-License-Identifier: BSD-3-Clause
"""The register of requirements (cases/requirements.toml) and the features that checks depend on.

A requirement's id is API: cases, reports and known failures name it. A feature is the short name,
used in `needs`, of one thing that a device, a server or this machine must offer; its sentence is
what a skipped case prints. The register's `depends` uses the sentences.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LEVELS = ("MUST", "SHOULD", "MAY", "UNSPECIFIED")
SUBJECTS = ("server", "client", "both")
REGISTER_PATH = Path(__file__).resolve().parents[2] / "cases" / "requirements.toml"

FEATURES: dict[str, str] = {
    # what the device offers
    "dma_maps": "server accepts DMA maps",
    "readable_region": "device has a region with the READ flag and non-zero size",
    "store": "device has a register or memory location that stores what is written to it "
    "through region messages",
    "mmap_region": "server exposes a mappable region (MMAP flag)",
    "sparse_region": "server exposes a region with capabilities (sparse mmap)",
    "region_without_read": "device has a region without the READ flag",
    "region_without_write": "device has a region without the WRITE flag",
    "device_regions": "device has regions beyond the standard PCI indexes",
    "io_fds": "device offers ioeventfd/ioregionfd sub-regions",
    "ioeventfd_effect": "harness can observe the effect of an ioeventfd signal",
    "pci_config": "device has a PCI configuration space that can be read and written",
    "reset": "device reports VFIO_DEVICE_FLAGS_RESET",
    "no_reset": "device does not report VFIO_DEVICE_FLAGS_RESET",
    "flr": "device announces Function Level Reset in its PCI configuration space",
    "irq1": "device has an IRQ index with EVENTFD and count >= 1",
    "irq2": "device has an IRQ index with EVENTFD and count >= 2",
    "two_irqs": "device has two IRQ indexes with EVENTFD and count >= 1",
    "maskable": "device has an IRQ index with MASKABLE",
    "automasked": "device has an IRQ index with AUTOMASKED",
    "noresize": "device has an IRQ index with NORESIZE",
    "raise_irq": "harness can provoke the device to raise an interrupt",
    "migration": "device supports VFIO_DEVICE_FEATURE_MIGRATION",
    "pre_copy": "device reports VFIO_MIGRATION_PRE_COPY",
    "no_pre_copy": "device supports migration without VFIO_MIGRATION_PRE_COPY",
    "migration_error": "harness can drive the device into migration state ERROR",
    "dma_logging": "device supports the DMA logging features",
    # what the server and the way it was started offer
    "reconnect": "server accepts a further connection after a disconnect",
    "concurrent": "server serves several connections at the same time",
    "twin": "server enables twin-socket mode on request",
    "server_dma": "server issues DMA_READ/DMA_WRITE messages",
    "provoke_dma": "harness can provoke the device to DMA to a chosen address",
    "write_multiple": "client and server negotiate write_multiple",
    "no_write_multiple": "server does not announce write_multiple",
    "required_capability": "server documents a capability it requires from clients",
    "process": "harness starts and signals the server process",
    "proc": "harness can inspect /proc of the server process",
    "socket_path_option": "server is a program that takes --socket-path",
    "fd_option": "server is a program that takes --fd",
    "installed": "backend is tested as an installed package",
    "client": "client implementation under test connects to a mock server",
    # what this kernel offers
    "lease": "the lease oracle (F_SETLEASE) works on this kernel",
    "seal": "the seal oracle (F_ADD_SEALS) works on this kernel",
    "pipe": "the pipe oracle (hang-up of a pipe) works on this kernel",
}


class RegisterError(ValueError):
    """The register is broken: message with file and place."""


@dataclass(frozen=True)
class Requirement:
    """One row of the register; the fields are explained at the head of requirements.toml."""

    id: str
    section: str
    level: str
    subject: str
    statement: str
    check: str
    errno: tuple[str, ...]
    depends: tuple[str, ...]
    notes: str

    @property
    def area(self) -> str:
        """The first two parts of the id: DMA-MAP-005 is of area DMA-MAP."""
        return self.id.rsplit("-", 1)[0]


class Register(Mapping[str, Requirement]):
    """All requirements by id, in the order of the specification."""

    def __init__(self, requirements: list[Requirement], spec_version: str):
        self.spec_version = spec_version
        self._rows = {row.id: row for row in requirements}

    def __getitem__(self, requirement_id: str) -> Requirement:
        return self._rows[requirement_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def areas(self) -> list[str]:
        """Each area once, in the order of the register."""
        return list(dict.fromkeys(row.area for row in self._rows.values()))


def requirement_from(row: dict, place: str) -> Requirement:
    """Checks one table of the file; every key must be there, and no other."""
    wanted = Requirement.__dataclass_fields__.keys()
    if row.keys() != wanted:
        raise RegisterError(f"{place}: keys {sorted(row.keys() ^ wanted)} missing or unknown")
    if row["level"] not in LEVELS:
        raise RegisterError(f"{place}: {row['id']}: level {row['level']!r}")
    if row["subject"] not in SUBJECTS:
        raise RegisterError(f"{place}: {row['id']}: subject {row['subject']!r}")
    unknown = set(row["depends"]) - set(FEATURES.values())
    if unknown:
        raise RegisterError(f"{place}: {row['id']}: depends on {sorted(unknown)}")
    return Requirement(**{**row, "errno": tuple(row["errno"]), "depends": tuple(row["depends"])})


def load_register(path: Path = REGISTER_PATH) -> Register:
    """Reads a register; raises RegisterError (or OSError) if it is not a good one."""
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RegisterError(f"{path}: {error}") from error
    rows = [requirement_from(row, str(path)) for row in data.get("requirement", [])]
    if len({row.id for row in rows}) != len(rows):
        raise RegisterError(f"{path}: an id occurs twice")
    return Register(rows, data.get("spec_version", ""))


@cache
def register() -> Register:
    """The register of this tree, read once."""
    return load_register()
