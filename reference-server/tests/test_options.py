# SPDX-License-Identifier: BSD-3-Clause
"""The options of the program: what it prints when asked, that it refuses what is wrong, and that
it obeys quotas and numbers of threads.

What other options do is the matter of the cases, which start the server with them as variants.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from errno import ENOSPC
from pathlib import Path

import pytest

from vuc import message, parse, structure
from vuc.evidence import Fds
from vuc.profile import Profile
from vuc.session import DEFAULT, Connection
from vuc.target import Target
from vuc.vdma import Vdma

SERVER = Path(__file__).resolve().parents[2] / "build" / "vuc-server"
LIMIT = 20  # seconds; nothing comes near it unless it serves in spite of its options
USAGE = 2
WRONG = [
    "--without=", "--without=reset,", "--without=reset,unknown", "--without=rese",
    "--without=resett",
    "--with=reset", "--with=migration", "--with=write_multiple", "--with=", "--require=reset",
    "--require=", "--profile=bare", "--profile=", "--devices=0", "--devices=63", "--devices=1x",
    "--devices=", "--max-msg-fds=254", "--max-data-xfer-size=0", "--max-data-xfer-size=16777217",
    "--max-dma-maps=4294967296", "--t-partial=0", "--t-idle=-1", "--t-dma= 1", "--t-drain=1.5",
    "--fd=2147483648", "--dma-threads=9", "--dma-threads=-1", "--dma-threads=", "--table-bytes=0",
    "--table-bytes=4611686018427387905", "--windows=0", "--windows=4097", "--windows=256 ",
    "--window-bytes=0", "--window-bytes=1K", "--dirty-bytes=-1",
    "--dirty-bytes=4611686018427387905",
]


def call(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([SERVER, *arguments], text=True, capture_output=True, timeout=LIMIT,
                          check=False)


def test_help_names_every_option():
    done = call("--help")
    assert done.returncode == 0 and not done.stderr
    source = (SERVER.parents[1] / "reference-server" / "main.c").read_text(encoding="utf-8")
    options = re.findall(r'\{ "([a-z-]+)", (?:required|no)_argument', source)
    assert len(options) > 10
    assert all(f"--{option}" in done.stdout for option in options)


def test_version_is_one_line():
    done = call("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"vuc-server \d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("option", WRONG)
def test_bad_value_is_refused(option, tmp_path):
    done = call(option, f"--socket-path={tmp_path}/s")
    assert done.returncode == USAGE
    assert "bad value" in done.stderr and "--help" in done.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("words", [["--unknown"], ["--devices"], ["word"], ["--verbose=1"]])
def test_unknown_words_are_refused(words, tmp_path):
    done = call(f"--socket-path={tmp_path}/s", *words)
    assert done.returncode == USAGE and done.stderr
    assert not (tmp_path / "s").exists()


# ---- quotas and threads ----


PAGE = 4096
RW = "READ|WRITE"
APART = 1 << 42  # addresses that share nothing of a table but its root


@pytest.fixture(name="serve")
def serve_fixture() -> Iterator[Callable[..., Target]]:
    """A function that starts the server with these options."""
    targets = []

    def serve(*options: str) -> Target:
        targets.append(Target(Profile(name="options"), options=options,
                              argv=[str(SERVER), "--socket-path={socket}"]))
        return targets[-1]

    yield serve
    for target in targets:
        target.close()


@pytest.fixture(name="fds")
def fds_fixture() -> Iterator[Fds]:
    with Fds() as fds:
        yield fds


def map_file(session: Connection, fds: Fds, number: int, pages: int = 1) -> int:
    """Map a new file of so many pages; 0 or the errno."""
    outcome = session.outcome("DMA_MAP", [fds.memory(pages * PAGE)], flags=RW, size=pages * PAGE,
                              address=number * APART)
    return outcome.reply.errno if outcome.kind == "error" else 0


def unmap(session: Connection, number: int, pages: int = 1) -> None:
    session.call("DMA_UNMAP", address=number * APART, size=pages * PAGE)


@pytest.mark.parametrize("count", [1, 2, 16])
def test_windows_is_the_number_of_files_that_are_mapped(serve, fds, count):
    with serve(f"--windows={count}").negotiate() as session:
        assert [map_file(session, fds, number) for number in range(count)] == [0] * count
        for number in range(count):
            assert map_file(session, fds, count) == ENOSPC
            unmap(session, number)
            assert map_file(session, fds, number) == 0


def test_window_bytes_is_the_size_of_all_files_that_are_mapped(serve, fds):
    with serve(f"--window-bytes={16 * PAGE}").negotiate() as session:
        assert map_file(session, fds, 0, 17) == ENOSPC
        assert map_file(session, fds, 0, 10) == 0
        assert map_file(session, fds, 1, 7) == ENOSPC
        assert map_file(session, fds, 1, 6) == 0
        assert map_file(session, fds, 2) == ENOSPC
        unmap(session, 0, 10)
        assert map_file(session, fds, 2, 11) == ENOSPC
        assert map_file(session, fds, 2, 10) == 0


@pytest.mark.parametrize("options, count", [
    (["--table-bytes=65536"], 64), (["--table-bytes=1048576"], 1024),
    (["--table-bytes=65536", "--max-dma-maps=65"], 64),
    (["--max-dma-maps=10", "--table-bytes=65536"], 10),
], ids=["64-kib", "1-mib", "more-maps", "fewer-maps"])
def test_table_bytes_bounds_the_maps_that_are_announced_and_they_can_be_had(serve, options, count):
    offer = {**DEFAULT, "max_dma_maps": 1 << 18}
    with serve(*options).negotiate(offer) as session:
        assert session.limits.max_dma_maps == count
        places = [number * APART // 16 for number in range(count + 1)]
        for _ in range(2):
            for address in places[:-1]:
                session.call("DMA_MAP", flags=RW, address=address, size=PAGE)
            session.refuse("DMA_MAP", flags=RW, address=places[-1], size=PAGE, errno=ENOSPC)
            for address in places[:-1]:
                session.call("DMA_UNMAP", address=address, size=PAGE)


def logged(session: Connection, size: int) -> list[int]:
    """The numbers of the pages from address 0 on that are reported as written."""
    report = structure("LOGGING_REPORT", iova=0, length=size, page_size=PAGE)
    reply = session.call("DEVICE_FEATURE", flags="GET|DMA_LOGGING_REPORT", data=report, argsz=PAGE)
    bits = int.from_bytes(reply.data[len(report):], sys.byteorder)
    return [page for page in range(size // PAGE) if bits >> page & 1]


@pytest.mark.parametrize("quota, expected", [
    (0, [0, 1, 2, 3]), (4096, [0, 1, 2, 3]), (65536, [2])], ids=["none", "too-little", "enough"])
def test_dirty_bytes_bounds_the_log_and_beyond_it_everything_is_written(serve, fds, quota,
                                                                      expected):
    with serve(f"--dirty-bytes={quota}").negotiate() as session:
        start = message("DEVICE_FEATURE", flags="SET|DMA_LOGGING_START",
                        data=structure("LOGGING_CONTROL", page_size=PAGE))
        session.call("DMA_MAP", [fds.memory(4 * PAGE)], flags=RW, size=4 * PAGE)
        session.call("DMA_MAP", flags=RW, address=4 * PAGE, size=PAGE)
        for written in (expected, expected, []):
            reply = session.call(start)
            assert parse("LOGGING_CONTROL", reply.data).page_size == PAGE
            if written:
                assert Vdma(session).slot().run("FILL", dst=2 * PAGE, length=8) == "DONE"
            assert logged(session, 8 * PAGE) == written
            session.call("DEVICE_FEATURE", flags="SET|DMA_LOGGING_STOP")


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_dma_threads_is_the_number_of_threads_of_a_client_that_does_dma(serve, fds, count):
    with serve(f"--dma-threads={count}") as target:
        for _ in range(2):
            with target.negotiate() as session:
                session.call("DMA_MAP", [fds.memory(PAGE)], flags=RW, size=PAGE)
                assert target.resources().threads == 1, "threads come before there is DMA"
                assert Vdma(session).slot().run("FILL", length=PAGE) == "DONE"
                assert target.resources().threads == 1 + count
