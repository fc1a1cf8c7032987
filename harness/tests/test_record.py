# SPDX-License-Identifier: BSD-3-Clause
"""What cases send is written down as programs, which can be run (vuc/record.py, client_note.c)."""

from __future__ import annotations

import subprocess

import pytest
from runs import ROOT, Suite

from vuc import record

VUC = ROOT / "build" / "vuc"
SERVER = ROOT / "build" / "vuc-server"
LIMIT = 60  # seconds for one command

CASES = """
import pytest

@covers("DMA-MAP-001", "FD-PASS-001")
def test_map(session, fds):
    memory = fds.memory(0x3000)
    part = dict(flags="READ|WRITE", size=0x1000)
    session.call("DMA_MAP", [memory], address=0x10000, **part)
    session.call("DMA_MAP", [memory], address=0x20000, **part, header={"id": 0x777})
    memory.truncate(0x1000)
    session.call("DMA_MAP", [memory], address=0x30000, **part)

@covers("INFO-DEV-001")
@pytest.mark.parametrize("word", ["a/b", "c"])
def test_same(session, word):
    session.call("DEVICE_GET_INFO")

@covers("INFO-DEV-001")
def test_pipelined(connect):
    for connection in (connect(), connect()):
        first = connection.send("DEVICE_GET_INFO")
        second = connection.send("DEVICE_GET_INFO", parts=[(16, 0), (32, 0)], paced=True)
        connection.success(first)
        connection.success(second)
        connection.shutdown_write()
        connection.expect_close()

@covers("HDR-SIZE-001")
def test_train(session):
    image = b"".join(bytes([9 + i, 0, 4, 0, 32, *bytes(11), 16, *bytes(15)]) for i in range(2))
    session.send_bytes(image)
    session.receive()
    session.receive()

@covers("INFO-DEV-001")
def test_long(session):
    for _ in range(300):
        session.call("DEVICE_GET_INFO")
"""
MAPPED = """\
r0 = memfd(size=0x3000)
dma_map(flags=READ|WRITE, address=0x10000, size=0x1000, fd=r0)
dma_map(header.id=1911, flags=READ|WRITE, address=0x20000, size=0x1000, fd=r0)
truncate(r0, size=0x1000)
dma_map(flags=READ|WRITE, address=0x30000, size=0x1000, fd=r0)
"""
PIPELINED = """\
device_get_info(argsz=4096) (nowait)
device_get_info(argsz=4096) (pieces: 16)
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The programs of a run by their names: comments, then steps."""
    folder = tmp_path_factory.mktemp("record")
    done = Suite(folder, CASES).call(
        "server", f"--record={folder / 'programs'}", "--level=all",
        "--server", f"{SERVER} --socket-path={{socket}}",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder / "programs"


def steps(path) -> str:
    """The text behind VERSION, without comments."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    rows = [line for line in lines if not line.startswith("#")]
    assert rows[0].startswith("version(")
    return "".join(rows[1:])


def test_messages_and_descriptors_are_steps(recorded):
    assert steps(recorded / "sample-map.prog") == MAPPED


def test_a_program_says_which_case_and_requirements_it_is_of(recorded):
    lines = (recorded / "sample-map.prog").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["# sample/map", "# DMA-MAP-001 FD-PASS-001"]


def test_what_was_sent_ahead_does_not_wait_and_pieces_stay(recorded):
    assert steps(recorded / "sample-pipelined.prog") == PIPELINED


def test_programs_that_are_the_same_are_kept_once(recorded):
    names = sorted(path.name for path in recorded.iterdir())
    assert names == ["sample-long.prog", "sample-map.prog", "sample-pipelined.prog",
                     "sample-same-a-b.prog", "sample-train.prog"]  # fmt: skip


def test_bytes_that_are_no_one_message_stay_bytes(recorded):
    assert steps(recorded / "sample-train.prog").startswith("raw(")


def test_what_has_no_room_is_left_out_and_said(recorded):
    text = (recorded / "sample-long.prog").read_text(encoding="utf-8")
    assert text.count("\ndevice_get_info(") == 255
    assert text.splitlines()[-1].endswith("from here on, 45 times")


def test_the_programs_run_without_a_finding(recorded):
    done = subprocess.run(
        [VUC, "run", "--strict", "all", *sorted(recorded.iterdir()), "--", SERVER,
         "--socket-path={socket}"], timeout=LIMIT, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_what_has_no_step_is_no_program(tmp_path):
    record.write(tmp_path, "a/b", ["HDR-FMT-001"], ["# left out\n", "", "device_reset()\n"])
    assert [path.name for path in tmp_path.iterdir()] == ["a-b.prog"]


def test_names_are_harmless_and_differ():
    ids = ["a/b[c]", "a/b[c:d]", "a/b[c*d]", "x/y" * 100, "x/y" * 101]
    names = [record.stem(case) for case in ids]
    assert names[0] == "a-b-c"
    assert len(set(names)) == len(ids)
    assert all(set("/[]:*").isdisjoint(name) and len(name) < 200 for name in names)
