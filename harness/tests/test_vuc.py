# SPDX-License-Identifier: BSD-3-Clause
"""The command `vuc`: exit codes, what it prints, and the programs that it writes."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VUC = ROOT / "build" / "vuc"
SERVER = ROOT / "build" / "vuc-server"
FAKE = Path(__file__).with_name("fake_server.py")
REFERENCE = ["--", str(SERVER), "--socket-path={socket}"]
RESET = "13"  # the command on which the fake server shows its defect
LIMIT = 60  # seconds for one command

PROGRAM = """\
# a comment, which is lost
version(caps={"capabilities":{"max_msg_fds":8}})
r0 = memfd(size=0x4000)
dma_map(flags=READ|WRITE, address=0x10000, size=0x4000, fd=r0)
dma_unmap(address=0x10000, size=0x1000)
device_get_info()
"""
ENDS = "version()\ndevice_get_info()\ndevice_reset()\ndevice_get_info()\n"


def vuc(*arguments: object, directory: Path | None = None) -> subprocess.CompletedProcess:
    """Runs the command to its end; both outputs as text."""
    return subprocess.run(
        [VUC, *map(str, arguments)], cwd=directory, timeout=LIMIT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def fake(*defect: str) -> list[str]:
    """The arguments that start the fake server with a defect."""
    return ["--", sys.executable, str(FAKE), "{socket}", *defect]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "unmap.prog"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


@pytest.fixture
def ends(tmp_path: Path) -> Path:
    path = tmp_path / "ends.prog"
    path.write_text(ENDS, encoding="utf-8")
    return path


@pytest.mark.parametrize("command", ["", "run", "minimize", "record", "print", "parse", "pack",
                                     "explain"])  # fmt: skip
def test_help_says_how_it_is_used(command):
    done = vuc(*filter(None, [command]), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: vuc {command}".rstrip())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "usage:"),
        (["fly"], "no command fly"),
        (["run"], "no program"),
        (["run", "x.prog"], "no server"),
        (["run", "x.prog", "--"], "nothing behind"),
        (["run", "x.prog", "--timeout", "soon", "--socket", "s"], "no time"),
        (["run", "x.prog", "--strict", "W99", "--socket", "s"], "no reading W99"),
        (["run", "missing.prog", "--socket", "s"], "missing.prog: No such file"),
        (["minimize", "--runs", "1", "--wanted", "2", "x", "--socket", "s"], "--wanted 2"),
        (["record"], "--listen PATH"),
        (["record", "--listen", "a", "--socket", "b", "--", "server"], "that runs already"),
        (["record", "--listen", "a", "--socket", "b", "--once"], "once"),
        (["explain", "NO-SUCH-001"], "no requirement"),
    ],
)
def test_wrong_usage_is_2_and_says_why(arguments, reason, tmp_path):
    done = vuc(*arguments, directory=tmp_path)
    assert done.returncode == 2
    assert reason in done.stderr


def test_a_good_server_passes(program):
    done = vuc("run", "--strict", "all", program, program, *REFERENCE)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASS") == 2
    assert done.stdout.endswith("2 passed, 0 failed, 0 deviate, 0 skipped, 0 broken; exit code 0\n")


def test_a_listing_shows_each_step_with_what_was_allowed_and_what_came(program):
    done = vuc("run", "--verbose", program, *REFERENCE)
    lines = done.stdout.splitlines()
    at = lines.index("dma_unmap(address=0x10000, size=0x1000)")
    assert "allowed: error" in lines[at + 1]
    assert "came:    error ENOENT" in lines[at + 2]


@pytest.mark.parametrize(
    ("defect", "exit_code", "code"),
    [
        ("crash", 3, "server.crash"),
        ("exit", 3, "server.exit"),
        ("hang", 3, "server.hang"),
        ("print", 3, "server.sanitizer"),
        ("silent", 1, "reply.missing"),
        ("refuse", 1, "reply.unexpected-error"),
        ("id", 1, "envelope.unexpected-reply"),
    ],
)
def test_defects_are_found(defect, exit_code, code, ends, tmp_path):
    report = tmp_path / "report.json"
    done = vuc("run", "--timeout", "700", "--json", report, ends, *fake(defect, RESET))
    assert done.returncode == exit_code, done.stdout
    (run,) = json.loads(report.read_text(encoding="utf-8"))
    assert run["verdict"] == "FAIL"
    assert code in {finding["code"] for finding in run["findings"]}
    assert f"{code}: " in done.stdout


def test_death_behind_the_only_connection_is_waited_for(ends):
    done = vuc("run", "--once", ends, *fake("dies-late"))
    assert done.returncode == 3, done.stdout
    assert "server.exit: " in done.stdout
    assert vuc("run", "--once", ends, *fake("one")).returncode == 0


def test_descriptors_that_stay_open_are_found(ends):
    done = vuc("run", ends, *fake("leak", RESET))
    assert done.returncode == 1, done.stdout
    assert "server.leak-fds: the server keeps descriptors" in done.stdout
    assert "sent      device_get_info()" in done.stdout
    assert "clause    DISC-CLI-008, level UNSPECIFIED" in done.stdout


@pytest.mark.parametrize("defect", ["leak-once", "leak-late"])
def test_what_is_opened_once_or_closed_late_is_no_leak(defect, ends):
    assert vuc("run", ends, *fake(defect, RESET)).returncode == 0


def test_a_finding_names_the_clause(ends):
    done = vuc("run", ends, *fake("refuse", RESET))
    assert "What the server did wrong:" in done.stdout
    assert "sent      device_reset()" in done.stdout
    assert re.search(r"clause    [A-Z]+-[A-Z]+-\d+, a MUST of the specification", done.stdout)


def test_what_the_server_lacks_is_skipped(tmp_path):
    path = tmp_path / "slot.prog"
    path.write_text("version()\nslot(0, cmd=READ)\n", encoding="utf-8")
    done = vuc("run", path, *fake())
    assert done.returncode == 77
    assert "test device" in done.stdout


def test_a_server_that_does_not_start_is_no_finding(program):
    done = vuc("run", program, *fake("exit-at-once"))
    assert done.returncode == 2
    assert "BROKEN" in done.stdout
    assert vuc("run", program, "--", "./no-such-server", "{socket}").returncode == 2


def test_text_and_bytes_are_one_program(program, tmp_path):
    packed, text = tmp_path / "packed", tmp_path / "again.prog"
    assert vuc("pack", "--output", packed, program).returncode == 0
    assert vuc("print", "--output", text, packed).returncode == 0
    assert vuc("print", text).stdout == vuc("print", program).stdout
    assert text.read_text(encoding="utf-8") == PROGRAM.partition("\n")[2]
    assert vuc("run", packed, *REFERENCE).returncode == 0


def test_parse_says_where_it_is_wrong(tmp_path):
    path = tmp_path / "wrong.prog"
    path.write_text("version()\ndma_map(adress=1)\n", encoding="utf-8")
    done = vuc("parse", path)
    assert done.returncode == 2
    assert f"{path}:2:9: " in done.stderr


def test_minimize_keeps_what_shows_it(ends, tmp_path):
    small = tmp_path / "small.prog"
    done = vuc("minimize", "--output", small, ends, *fake("refuse", RESET))
    assert done.returncode == 0, done.stderr
    assert "in 1 of 1 runs" in done.stderr
    # GET_INFO says that there is a reset, without which it may be refused.
    wanted = "version()\ndevice_get_info()\ndevice_reset()\n"
    assert small.read_text(encoding="utf-8") == wanted


def test_minimize_wants_a_failure(ends):
    done = vuc("minimize", ends, *fake())
    assert done.returncode == 2
    assert "does not fail" in done.stderr


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("DMA-UNMAP-003", "must match one earlier map exactly"),
        ("dma-unmap", "DMA-UNMAP-001"),
        ("reply.missing", "no reply came"),
    ],
)
def test_explain(word, said):
    done = vuc("explain", word)
    assert done.returncode == 0
    assert said in done.stdout


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Until somebody listens there, by asking inotify for nothing: the process lives or not."""
    while not path.exists():
        assert process.poll() is None
        select.select([], [], [], 0.01)


@pytest.fixture
def proxy(tmp_path: Path):
    """A reference server and `vuc record` before it; the recorder."""
    behind, before = tmp_path / "server", tmp_path / "proxy"
    with subprocess.Popen([SERVER, f"--socket-path={behind}"]) as server:
        wait_for(behind, server)
        with subprocess.Popen(
            [VUC, "record", "--listen", before, "--socket", behind, "--output",
             tmp_path / "recorded.prog"], stderr=subprocess.PIPE, text=True,
        ) as recorder:  # fmt: skip
            wait_for(before, recorder)
            yield recorder
            recorder.kill()
        server.terminate()


def test_a_recorded_session_can_be_run_again(proxy, program, tmp_path):
    assert vuc("run", program, "--socket", tmp_path / "proxy").returncode == 0
    _, errors = proxy.communicate(timeout=LIMIT)
    assert (proxy.returncode, "verdict: PASS" in errors) == (0, True)
    recorded = tmp_path / "recorded.prog"
    text = recorded.read_text(encoding="utf-8")
    assert "r0 = memfd(size=0x4000)\ndma_map(flags=READ|WRITE, address=0x10000" in text
    assert vuc("run", recorded, *REFERENCE).returncode == 0


def test_a_recording_offers_what_it_takes():
    done = vuc("record", "--help")
    assert '"--"' not in done.stdout and "--timeout" not in done.stdout
    assert "--socket PATH" in done.stdout and "--strict" in done.stdout
    assert "not judged" in done.stdout


def test_a_twin_socket_is_recorded(proxy, tmp_path):
    """What the server asks by it reaches the client, whose replies come back the same way."""
    source = ROOT / "corpus" / "regress" / "requests-go-by-the-twin.prog"
    done = vuc("run", source, "--socket", tmp_path / "proxy")
    assert done.returncode == 0, done.stdout
    _, errors = proxy.communicate(timeout=LIMIT)
    assert (proxy.returncode, "verdict: PASS" in errors) == (0, True), errors
    recorded = tmp_path / "recorded.prog"
    # Without a twin between them nothing that came by it would be seen.
    assert re.search(r"^reply\(dma_read, .*\(twin\)$", recorded.read_text(encoding="utf-8"), re.M)
    for fault, exit_code in (None, 0), ("twin_is_not_used", 1):
        server = REFERENCE if fault is None else [
            "--", f"{SERVER}-faulty", f"--fault={fault}", "--socket-path={socket}"]
        done = vuc("run", recorded, *server)
        assert done.returncode == exit_code, done.stdout


def test_a_signal_ends_a_session_and_its_program_is_written(proxy, tmp_path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(str(tmp_path / "proxy"))
        client.sendall(struct.pack("=HHIIIHH", 1, 1, 20, 0, 0, 0, 0))
        assert client.recv(4096)
        os.kill(proxy.pid, signal.SIGINT)
        proxy.communicate(timeout=LIMIT)
    assert proxy.returncode == 0
    assert (tmp_path / "recorded.prog").read_text(encoding="utf-8") == "version()\n"


def test_a_signal_ends_a_recording_cleanly(proxy, tmp_path):
    os.kill(proxy.pid, signal.SIGINT)
    _, errors = proxy.communicate(timeout=LIMIT)
    assert proxy.returncode == 2
    assert "no client came" in errors
    assert not (tmp_path / "proxy").exists()
