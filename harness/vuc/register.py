# SPDX-License-Identifier: BSD-3-Clause
"""The register of requirements (cases/requirements*.toml) and the features that checks depend on.

A requirement's id is API: cases, reports and known failures name it. A feature is the short name,
used in `needs`, of one thing that a device, a server or this machine must offer; its sentence is
what a skipped case prints. The register's `depends` uses the sentences. A reading is the name of
one ambiguity of the specification that honest implementations read in two ways; its sentence is
the strict one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LEVELS = ("MUST", "SHOULD", "MAY", "UNSPECIFIED")
SUBJECTS = ("server", "client", "both")
CASES = Path(__file__).resolve().parents[2] / "cases"
# Of the specification, and of the vIOMMU extension; in this order.
REGISTER_PATHS = (CASES / "requirements.toml", CASES / "requirements-viommu.toml")

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
    "bar": "device has a base address register",
    "wide_bar": "device has a base address register of 64 bits",
    "huge_bar": "device has a base address register of more than 4 GiB",
    "rom": "device has an expansion ROM",
    "intx": "device has an INTx pin",
    "capability_list": "device has a PCI capability list",
    "extended_config": "device has a PCI extended configuration space",
    "pm": "device has a PCI power management capability",
    "msi": "device has an MSI capability",
    "msix": "device has an MSI-X capability",
    "pcie": "device has a PCI Express capability",
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
    "small_transfers": "server announces a max_data_xfer_size below 1048576",
    "impatient": "server gives up a client that lets it wait",
    "required_capability": "server documents a capability it requires from clients",
    # the vIOMMU extension, its dialects and its members
    "viommu": "client and server negotiate the vIOMMU extension",
    "no_viommu": "server does not know the vIOMMU extension",
    "poc": "client and server speak the poc dialect of the vIOMMU extension",
    "any_viommu": "client and server speak the vIOMMU extension, or its poc dialect",
    "pasid": "server has address spaces with a PASID",
    "unmap_range": "server removes the mappings of a range",
    "replace": "server replaces mappings",
    "backing": "server knows backing windows",
    "page_requests": "server asks for pages",
    "device_pages": "harness can provoke the device to ask for pages",
    "device_pasid": "harness can provoke the device to DMA with a PASID",
    "process": "harness starts and signals the server process",
    "proc": "harness can inspect /proc of the server process",
    "socket_path_option": "server is a program that takes --socket-path",
    "fd_option": "server is a program that takes --fd",
    "drain_option": "server is a program that takes --t-drain, milliseconds",
    "dialect_option": "server is a program that takes --viommu-dialect",
    "installed": "backend is tested as an installed package",
    "client": "client implementation under test connects to a mock server",
    # what this kernel offers
    "lease": "the lease oracle (F_SETLEASE) works on this kernel",
    "seal": "the seal oracle (F_ADD_SEALS) works on this kernel",
    "pipe": "the pipe oracle (hang-up of a pipe) works on this kernel",
}

READINGS: dict[str, str] = {
    # wire format: W
    "W1": "count in the reply to DMA_WRITE is 8 bytes wide, as everywhere else",
    "W2": "an entry of GET_REGION_IO_FDS is 40 bytes, entry i stands at 16 + 40 * i",
    "W7": "MMAP comes with its descriptor, also where argsz leaves the capabilities out",
    "W10": "DMA_LOGGING_STOP carries no data",
    # negotiation: N; transport: T
    "N9": "version data without its NUL are refused",
    "N10": "version data that are no JSON object are refused",
    "T7": "a reply to nothing is dropped without an answer",
    "T11": "what follows the structure of a DMA_UNMAP is ignored",
    "T15": "the main socket is served while a command on the twin socket is not answered",
    "T19": "argsz below the structure of a DMA_MAP is refused",
    # DMA: D; regions: R; interrupts: I
    "D1": "a mapping that exists already can not be made again, however equal",
    "D2": "undefined flags of DMA_MAP are refused",
    "R6": "REGION_WRITE_MULTI that fails in the middle succeeds and counts what it has written",
    "R7": "REGION_WRITE_MULTI takes any count up to 8, and no entries at all",
    "R8": "GET_REGION_IO_FDS of a region without sub-regions succeeds and counts none",
    "I3": "another number of descriptors than vectors is refused as a whole",
    "I4": "DATA_EVENTFD with MASK or UNMASK is supported and tells the client",
    "I8": "an action that an interrupt type does not support is refused",
    # reset and migration: M; DMA logging: L
    "M1": "a reset leads to migration state RUNNING from every state",
    "M2": "a reset keeps mappings and eventfds",
    "M3": "a stopped device serves what does not make it run",
    "L1": "a report clears what it reports",
    "L2": "a report over what is not mapped succeeds and says that nothing was written there",
    "L3": "a report over a range that is written by messages succeeds",
    "L4": "any page size hint is taken, and another size chosen where it does not fit",
    "L5": "a second start is refused and a stop without a start succeeds",
    "L8": "empty and wrapping ranges are refused",
    "L9": "a report without room for its bitmap is refused",
}
STRICT, LENIENT = READING_VALUES = ("strict", "lenient")


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
    origin: str = ""  # where it comes from, if not from the specification

    @property
    def area(self) -> str:
        """The first two parts of the id: DMA-MAP-005 is of area DMA-MAP."""
        return self.id.rsplit("-", 1)[0]


class Register(Mapping[str, Requirement]):
    """All requirements by id, in the order of their files."""

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
    """Checks one table of the file; every key but origin must be there, and no other."""
    wanted = Requirement.__dataclass_fields__.keys()
    wrong = (row.keys() ^ wanted) - (wanted & {"origin"})
    if wrong:
        raise RegisterError(f"{place}: keys {sorted(wrong)} missing or unknown")
    if row["level"] not in LEVELS:
        raise RegisterError(f"{place}: {row['id']}: level {row['level']!r}")
    if row["subject"] not in SUBJECTS:
        raise RegisterError(f"{place}: {row['id']}: subject {row['subject']!r}")
    unknown = set(row["depends"]) - set(FEATURES.values())
    if unknown:
        raise RegisterError(f"{place}: {row['id']}: depends on {sorted(unknown)}")
    return Requirement(**{**row, "errno": tuple(row["errno"]), "depends": tuple(row["depends"])})


def load_register(*paths: Path) -> Register:
    """Reads the files of a register, whose version is that of the first; raises RegisterError (or
    OSError) if it is not a good one."""
    rows: dict[str, Requirement] = {}
    versions = []
    for path in paths:
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise RegisterError(f"{path}: {error}") from error
        versions.append(data.get("spec_version", ""))
        for row in data.get("requirement", []):
            one = requirement_from(row, str(path))
            if one.id in rows:
                raise RegisterError(f"{path}: {one.id} occurs twice")
            rows[one.id] = one
    return Register(list(rows.values()), versions[0])


@cache
def register() -> Register:
    """The register of this tree, read once."""
    return load_register(*REGISTER_PATHS)
