# SPDX-License-Identifier: BSD-3-Clause
"""One program shows the same fault wherever it runs, as text and as its packed bytes: over a socket
by `vuc run`, in the libFuzzer binary, in that of AFL++, and in a plain build without engine.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
VUC = ROOT / "build/vuc"
PROGRAM = ROOT / "corpus/regress/unmap-of-a-part-takes-nothing.prog"
FAULT = "unmap_of_a_part_takes_all"
SIGNATURE = re.compile(r"^ +signature +(\S.*)$", re.MULTILINE)
NEEDS = {"replay": [], "fuzz": ["clang"], "afl": ["clang", "afl-clang-fast"]}
LIMIT = 30  # seconds for one run
RACE = ROOT / "corpus/regress/lanes-unmap-what-is-in-use.prog"
RACE_FAULT = re.compile(r"^# fault: (\w+)$|--fault=(\w+)", re.MULTILINE)
RACE_RUNS = 100


def pack(program, folder):
    """A program as the bytes that engines work on."""
    path = folder / "input"
    subprocess.run([VUC, "pack", f"--output={path}", program], check=True)
    return path


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return pack(PROGRAM, tmp_path_factory.mktemp("packed"))


def built(name, *others):
    """The path of an entry with the faults of the server, which is made if need be."""
    path = f"build/faulty/{name}"
    subprocess.run(["make", "-s", "-j2", path, *others], cwd=ROOT, check=True)
    return ROOT / path


def run(*words, fault, reports=""):
    """Exit status and signatures of a run; `fault` is for an entry, "" for none; and so is the
    folder for its reports."""
    environment = {"VUC_FAULT": fault} if fault else {}
    environment |= {"VUC_REPORTS": str(reports)} if reports else {}
    done = subprocess.run(
        words, env=os.environ | environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=LIMIT, check=False,
    )  # fmt: skip
    return done.returncode, SIGNATURE.findall(done.stdout), done.stdout


def by_socket(program):
    """What `vuc run` finds in the server with the fault."""
    status, found, text = run(
        VUC, "run", program, "--", ROOT / "build/vuc-server-faulty", "--socket-path={socket}",
        f"--fault={FAULT}", fault="",
    )  # fmt: skip
    assert status == 1, text
    return found


def test_file_names_the_fault():
    assert f"# fault: {FAULT}\n" in PROGRAM.read_text(encoding="utf-8")


def test_text_and_bytes_show_the_same_over_a_socket(packed):
    found = by_socket(PROGRAM)
    assert found and found == by_socket(packed)


@pytest.mark.parametrize("engine", NEEDS)
def test_engine_shows_what_a_run_over_a_socket_shows(engine, packed, tmp_path):
    for need in NEEDS[engine]:
        if not shutil.which(need):
            pytest.skip(f"{need} is not installed (ci/setup.sh {engine})")
    binary = built(f"{engine}_session", "build/vuc-server-faulty")
    status, found, text = run(binary, packed, fault=FAULT, reports=tmp_path)
    assert status != 0, text
    assert found[:1] == by_socket(packed)[:1], text
    (report,) = tmp_path.iterdir()
    assert SIGNATURE.findall(report.read_text(encoding="utf-8")) == found
    status, same, text = run(binary, PROGRAM, fault=FAULT)
    assert status != 0 and same == found, text
    assert run(binary, packed, PROGRAM, fault="")[:2] == (0, [])


def test_text_that_is_no_program_does_not_pass(tmp_path):
    wrong = tmp_path / "wrong.prog"
    wrong.write_text("version()\nno_such_step()\n", encoding="utf-8")
    status, _, text = run(built("replay_session"), wrong, fault="")
    assert status == 3 and f"{wrong}:2:1: " in text


def test_clauses_of_the_accounts_are_in_the_register():
    named = set()
    for path in (ROOT / "fuzz").glob("account*.c"):
        named |= set(re.findall(r'"([A-Z]+-[A-Z]+-\d+)"', path.read_text(encoding="utf-8")))
    rows = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "cases").glob("req*.toml"))
    assert named and not [one for one in named if f'id = "{one}"' not in rows]


LEAK = """\
version(caps={"capabilities":{"max_msg_fds":8}})
r0 = memfd(size=0x4000)
dma_map(flags=READ, address=0x10000, size=0x4000, fd=r0)
dma_map(flags=READ, address=0x10000, size=0x4000, fd=r0)
"""


@pytest.mark.parametrize("fault, seen, clause", [
    ("refused_fds_stay_open", "descriptors owned by messages: 0 before, 1 now", "DISC-CLI-008"),
    ("mappings_outlive_the_client", "mappings: 0 before, 1 now", "DISC-CLI-001"),
    ("map_fd_is_never_closed", r"\d+ descriptors before, \d+ now", "DISC-CLI-008"),
])  # fmt: skip
def test_what_is_left_of_a_client_fails_with_its_clause(fault, seen, clause, tmp_path):
    program = tmp_path / "leak.prog"
    program.write_text(LEAK, encoding="utf-8")
    status, found, text = run(built("replay_session"), program, fault=fault)
    assert status != 0 and not found, text
    rows = rf"^   seen      {seen}.*\n   clause    {clause}, "
    assert re.search(rows, text, re.MULTILINE), text
    assert "verdict: FAIL" in text and "verdict: PASS" not in text, text
    assert re.search(rf"^finding: not as it was before: {seen}", text, re.MULTILINE), text
    assert re.search(r"^census: \d+ descriptors and \d+ mapped files of clients in this process, "
                     r"\d+ and \d+ at the last look", text, re.MULTILINE), text  # fmt: skip


def test_race_shows_once_in_a_hundred_runs(tmp_path):
    """It need not show in each run; what is read after its unmap is no memory any more."""
    if not shutil.which("clang"):
        pytest.skip("clang is not installed (ci/setup.sh fuzz)")
    binary, packed_race = built("replay_race"), pack(RACE, tmp_path)
    faults = RACE_FAULT.findall(RACE.read_text(encoding="utf-8"))
    fault = ",".join(first or second for first, second in faults)
    assert run(binary, packed_race, RACE, fault="")[:2] == (0, [])
    for _ in range(RACE_RUNS):
        status, _, text = run(binary, packed_race, fault=fault)
        if status != 0:
            break
    crash = r"^SUMMARY: AddressSanitizer: SEGV .* in window_copy"
    assert re.search(crash, text, re.MULTILINE), text
