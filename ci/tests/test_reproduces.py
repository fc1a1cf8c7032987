# SPDX-License-Identifier: BSD-3-Clause
"""One program shows the same fault wherever it runs: over a socket by `vuc run`, as text and as
bytes, and as bytes in the libFuzzer binary, in that of AFL++, and in a plain build without engine.
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


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The program as the bytes that engines work on."""
    path = tmp_path_factory.mktemp("packed") / "input"
    subprocess.run([VUC, "pack", f"--output={path}", PROGRAM], check=True)
    return path


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
    binary = ROOT / f"build/faulty/{engine}_session"
    subprocess.run(["make", "-s", "-j2", f"build/faulty/{engine}_session",
                    "build/vuc-server-faulty"], cwd=ROOT, check=True)  # fmt: skip
    status, found, text = run(binary, packed, fault=FAULT, reports=tmp_path)
    assert status != 0, text
    assert found[:1] == by_socket(packed)[:1], text
    (report,) = tmp_path.iterdir()
    assert SIGNATURE.findall(report.read_text(encoding="utf-8")) == found
    assert run(binary, packed, fault="")[:2] == (0, [])
