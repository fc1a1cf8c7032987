# SPDX-License-Identifier: BSD-3-Clause
"""bench.py measures, tiny, and what it writes is well-formed; its arithmetic is seen to be right
and its failures are seen. No figure is judged.
"""

import json
import subprocess
import sys
from pathlib import Path

import bench
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
KEYS = {"name", "unit", "median", "spread", "peer", "ratio"}
EVERY_RUN = {
    "lookup.table.dense.256", "bytes.table.far.16", "map.16", "map_cpu.256", "fill_fd.256",
    "unmap_fd_cpu.16", "vmas_fd.256", "fds.16", "rss_fd.256", "touch.256", "read.p50",
    "pingpong.cpu", "fourcalls.p50", "fourcalls.cpu", "unmap_idle.p50",
    "unmap_beside_dma_added.p50", "unmap_under_dma.p99",
}  # fmt: skip


def run(report, *arguments):
    """bench.py as make calls it, into a directory of its own."""
    return subprocess.run(
        [sys.executable, "ci/bench.py", "--quick", "--runs=1", f"--report={report}", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_results_are_well_formed(tmp_path):
    done = run(tmp_path, "--peer=twin=build/vuc-server --socket-path={socket}",
               "--peer=absent=build/no-such-server {socket}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert all(set(row) == KEYS and isinstance(row["unit"], str) for row in rows)
    assert all(isinstance(row[key], (int, float)) for row in rows for key in ("median", "spread"))
    assert all(row["ratio"] is None or (row["peer"] and row["ratio"] > 0
                                        or "added" in row["name"]) for row in rows)  # fmt: skip
    names = [(row["name"], row["peer"]) for row in rows]
    assert len(names) == len(set(names))
    assert {name for name, _ in names} >= EVERY_RUN | {"twin:map.16", "twin:read.p50"}
    assert {peer for name, peer in names if name == "read.p50"} == {
        "ping-pong", "four calls", "twin"}  # fmt: skip
    assert {peer for name, peer in names if name == "lookup.table.dense.256"} == {
        "flat array", "sorted tree"}  # fmt: skip
    memory = {row["name"]: row["median"] for row in rows}
    assert memory["fds_fd.256"] == 0 and memory["vmas_fd.256"] < 256
    page = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert all(f"| {word} |" in page for word in ("kernel", "compiler", "date", "machine"))
    assert "REGION_READ" in page and "absent: read 200: not measured" in page


def test_server_of_ours_that_cannot_be_measured_is_a_failure(tmp_path):
    (tmp_path / "bench").mkdir()
    for name in ("bench_space", "bench_socket"):
        (tmp_path / "bench" / name).symlink_to(ROOT / "build/bench" / name)
    done = run(tmp_path, f"--build={tmp_path}")
    assert done.returncode == 1
    assert "vuc-server" in done.stderr and not (tmp_path / "bench.json").exists()


def samples(*series):
    """Samples of (side, name, values of the runs)."""
    found = bench.Samples()
    for side, name, values in series:
        for number, value in enumerate(values):
            found.add(side, number, json.dumps({"name": name, "unit": "ns", "value": value}))
    return found


def test_ratio_is_of_the_same_run():
    rows = bench.rows_of(samples((bench.OURS, "map.16", [10, 40, 90]),
                                 ("peer", "map.16", [10, 20, 30])))  # fmt: skip
    assert rows == [
        bench.Row("map.16", "ns", 40, 30, "peer", 2),
        bench.Row("peer:map.16", "ns", 20, 10),
    ]


def test_structures_and_the_bare_exchange_are_peers():
    rows = bench.rows_of(samples(
        (bench.OURS, "lookup.table.dense.16", [6]), (bench.OURS, "lookup.flat.dense.16", [2]),
        (bench.OURS, "read.p50", [9]), (bench.OURS, "pingpong.p50", [6]),
    ))  # fmt: skip
    assert [(row.name, row.peer, row.ratio) for row in rows if row.peer] == [
        ("lookup.table.dense.16", "flat array", 3), ("read.p50", "ping-pong", 1.5)]  # fmt: skip


def test_page_says_what_of_a_read_is_system_calls():
    series = [(bench.OURS, "read.p50", [9]), (bench.OURS, "pingpong.p50", [6])]
    assert bench.read_lines(bench.rows_of(samples(*series))) == []
    rows = bench.rows_of(samples(*series, (bench.OURS, "fourcalls.p50", [7.5])))
    text = " ".join(bench.read_lines(rows))
    assert [row.peer for row in rows] == ["four calls", "ping-pong", None, "ping-pong"]
    assert "takes 1.5 times a ping-pong: the target of 1.15 is missed" in text
    assert "takes 1.25 times a ping-pong, and REGION_READ 1.2 times that loop" in text


def test_peer_that_costs_nothing_has_no_ratio():
    rows = bench.rows_of(samples((bench.OURS, "vmas.16", [1]), ("peer", "vmas.16", [0])))
    assert [row.ratio for row in rows] == [None, None]


def test_refused_size_is_not_asked_again(monkeypatch):
    asked = []

    def program(command):
        asked.append(command[2])
        return ['{"name": "refused_after", "unit": "mappings", "value": 99}']

    monkeypatch.setattr(bench, "lines_of", program)
    measuring = bench.Measuring(Path("build"), {"peer": ["server"]}, bench.Plan((), 1, 1, ()))
    for run_number, count in ((0, 16), (0, 256), (1, 16)):
        measuring.job("peer", run_number, "maps", count)
    assert asked == ["16"]
    assert list(measuring.notes) == ["peer: maps 16: refused after 99"]


@pytest.mark.parametrize("line", ["", "[]", '{"name": "x"}', '{"name": "x", "unit": "ns"}',
                                  '{"name": "x", "unit": "ns", "value": "much"}'])  # fmt: skip
def test_what_is_no_figure_is_an_error(line):
    with pytest.raises(bench.CannotMeasure):
        bench.Samples().add(bench.OURS, 0, line)


@pytest.mark.parametrize(
    "value, text",
    [(0.4, "0.4"), (12.345, "12.3"), (1234, "1234"), (45678, "45.7 k"), (2.36e6, "2.36 M"),
     (-20000, "-20 k")],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert bench.number(value) == text
