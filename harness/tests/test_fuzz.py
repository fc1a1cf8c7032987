# SPDX-License-Identifier: BSD-3-Clause
"""`vuc fuzz`: what it finds on servers with a defect, what it keeps, and that it says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VUC = ROOT / "build" / "vuc"
FAKE = Path(__file__).with_name("fake_server.py")
SEEDS = [f"--corpus={ROOT / 'corpus' / name}" for name in ("seed", "regress")]
LIMIT = 100  # seconds for one command


class Campaign:
    """A run of `vuc fuzz` in a directory of its own; `report` is its JSON, None without one."""

    def __init__(self, directory: Path, *words: object):
        self.findings = directory / "findings"
        path = directory / "report.json"
        done = subprocess.run(
            [VUC, "fuzz", "--name=test", f"--findings={self.findings}", f"--report={path}",
             *map(str, words)], timeout=LIMIT, text=True, check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.exit, self.output, self.errors = done.returncode, done.stdout, done.stderr
        self.report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def folder(self, finding: dict) -> Path:
        return self.findings / finding["folder"]


def reference(*options: str) -> list[str]:
    return ["--", str(ROOT / "build" / "vuc-server"), "--socket-path={socket}", *options]


def faulty(name: str) -> list[str]:
    server = ROOT / "build" / "vuc-server-faulty"
    return ["--", str(server), "--socket-path={socket}", f"--fault={name}"]


def run_again(program: Path, server: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run([VUC, "run", program, *server], timeout=LIMIT, text=True, check=False,
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)  # fmt: skip


def test_good_server_has_no_finding(tmp_path):
    campaign = Campaign(tmp_path, "--programs=200", *SEEDS, *reference())
    assert campaign.exit == 0, campaign.output
    assert campaign.output.endswith("verdict: 0 findings, exit code 0\n")
    assert (campaign.report["programs"], campaign.report["findings"]) == (200, [])
    assert campaign.report["received"] > 200
    assert list(campaign.findings.iterdir()) == []


def test_broken_rule_is_found_made_small_and_kept_once(tmp_path):
    words = ("--programs=200", "--minimize=3", *SEEDS, *faulty("overlap_is_einval"))
    campaign = Campaign(tmp_path, *words)
    assert campaign.exit == 1, campaign.output
    (finding,) = [one for one in campaign.report["findings"]
                  if one["signature"] == "reply.errno DMA-MAP-005 dma_map"]  # fmt: skip
    assert (finding["shown"], finding["runs"], finding["known"]) == (3, 3, False)
    assert finding["steps"] <= 5
    folder = campaign.folder(finding)
    again = run_again(folder / "program.prog", faulty("overlap_is_einval"))
    assert again.returncode == 1
    assert run_again(folder / "program.prog", reference()).returncode == 0
    report = (folder / "report.txt").read_text(encoding="utf-8")
    assert report.startswith("# reply.errno DMA-MAP-005 dma_map\n# in 3 of 3 runs")
    assert "What the server did wrong:" in report
    kept = json.loads((folder / "finding.json").read_text(encoding="utf-8"))
    assert kept["verdict"]["verdict"] == "FAIL"
    before = (folder / "program.prog").read_bytes()
    second = Campaign(tmp_path, *words)
    assert second.exit == 1
    (same,) = [one for one in second.report["findings"]
               if one["signature"] == finding["signature"]]  # fmt: skip
    assert (same["known"], same["program"]) == (True, finding["program"])
    assert (folder / "program.prog").read_bytes() == before


def test_descriptors_that_are_kept_are_found_in_one_program(tmp_path):
    words = ("--programs=60", "--minimize=5", *SEEDS, *faulty("map_fd_is_never_closed"))
    campaign = Campaign(tmp_path, *words)
    assert campaign.exit == 1, campaign.output
    (finding,) = [one for one in campaign.report["findings"]
                  if one["signature"] == "server.leak-fds DISC-CLI-008 dma_map"]  # fmt: skip
    assert finding["shown"] == 3
    program = campaign.folder(finding) / "program.prog"
    assert run_again(program, faulty("map_fd_is_never_closed")).returncode == 1
    assert run_again(program, reference()).returncode == 0


def test_server_that_crashes_is_started_again(tmp_path):
    campaign = Campaign(tmp_path, "--programs=200", "--minimize=2", *SEEDS,
                        *faulty("end_inside_a_message_crashes"))  # fmt: skip
    assert campaign.exit == 3, campaign.output
    assert campaign.report["programs"] == 200
    assert campaign.report["restarts"] > 1
    shown = [one for one in campaign.report["findings"] if one["shown"]]
    assert shown
    for finding in shown:
        assert finding["dead"]
        assert finding["signature"].startswith("server.crash ")
        program = campaign.folder(finding) / "program.prog"
        again = run_again(program, faulty("end_inside_a_message_crashes"))
        assert again.returncode == 3, again.stdout


def test_server_of_one_connection_is_started_each_time(tmp_path):
    campaign = Campaign(tmp_path, "--programs=2", "--once", *reference())
    assert campaign.exit == 0, campaign.output
    assert campaign.report["restarts"] == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--socket", "s", "--time", "soon"], "no number"),
        (["--socket", "s", "--seed", "x"], "no seed"),
        (["--socket", "s", "x.prog"], "programs are made here"),
        (["--corpus", "missing", "--socket", "s"], "missing: No such file"),
        (["--socket", "missing"], "the server is not there"),
        ([], "no server"),
        (["--programs=3", "--", "./no-such-server", "{socket}"], "the server is not there"),
    ],
)
def test_wrong_usage_is_2_and_says_why(words, reason, tmp_path):
    campaign = Campaign(tmp_path, *words)
    assert campaign.exit == 2
    assert reason in campaign.errors


def test_target_file_says_how(tmp_path):
    """As `make fuzz TARGET=` does."""
    target = tmp_path / "mine.toml"
    target.write_text(
        'schema = 1\nname = "mine"\nsessions = "one"\nargv = '
        f'["{ROOT / "build" / "vuc-server"}", "--socket-path={{socket}}"]\n', encoding="utf-8",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, ROOT / "ci" / "fuzz_server.py", f"--target={target}", f"--vuc={VUC}",
         f"--build={tmp_path}", "--", "--programs=5"], timeout=LIMIT, text=True, check=False,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    report = json.loads((tmp_path / "report" / "fuzz-mine.json").read_text(encoding="utf-8"))
    assert (report["fuzzer"], report["programs"], report["restarts"]) == ("mine", 5, 5)


@pytest.mark.parametrize("word", ["RESUME=1", "JOBS=2", "TRIES=5", "FUZZER=wire"])
def test_what_only_an_engine_understands_is_refused(word):
    """A server that is named is fuzzed without one; nothing is passed over in silence."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "fuzz", "SERVER=/bin/false {socket}", word], cwd=ROOT, env=plain,
                          timeout=LIMIT, text=True, check=False, capture_output=True)  # fmt: skip
    assert done.returncode == 2
    assert f"make fuzz: not for a server that is named: {word}" in done.stderr
