# SPDX-License-Identifier: BSD-3-Clause
"""Shows a device at work on memory that is not there, and draws what was in the pool meanwhile.

    demo.py [--iova=10G] [--pool=64M] [--segment=1M] [--rounds=1] [--seed=1] [--build=DIR]
            [--report=DIR] [--svg=FILE] [SERVER [ARGUMENT...]]

Runs bench_paging, of which harness/bench/bench_paging.c says what it does; SERVER is the reference
server with the vIOMMU extension by default, {socket} in its arguments is filled in. Sizes are bytes
with an optional K, M or G, and multiples of pages of 4 KiB. Prints the figures and leaves them with
the samples in demo.json of the report's directory; --svg draws them too, which needs matplotlib.
Exit status 1: a page did not contain what it had to, or the server failed.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PAGE = 4096
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
SERVER = ("vuc-server", "--viommu-dialect=native", "--socket-path={socket}")
POINTS = 200  # of each curve


def pages(text: str) -> int:
    """A size as a number of pages."""
    number, unit = (text[:-1], UNITS[text[-1]]) if text[-1:] in UNITS else (text, 1)
    if not number.isdecimal() or int(number) * unit % PAGE or not int(number):
        raise argparse.ArgumentTypeError(f"{text} is no number of pages")
    return int(number) * unit // PAGE


def size(count: float) -> str:
    """Bytes in words."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB")):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count / 1024:.4g} KiB"


def lines(figures: dict[str, float]) -> list[str]:
    """The figures in words."""
    seconds = figures["seconds"]
    iova, pool = figures["pages"] * PAGE, figures["pool"] * PAGE
    return [
        f"{size(iova)} of IOVA over a pool of {size(pool)}, in pages of 4 KiB; nothing is mapped "
        "when it begins",
        f"{size(figures['copied'] * UNITS['M'])} copied by the device in {seconds:.1f} s: "
        f"{figures['throughput']:.0f} MiB/s",
        f"{figures['in']:.0f} pages in, by {figures['requests']:.0f} page requests; "
        f"{figures['out']:.0f} out, by {figures['invalidations']:.0f} invalidations: "
        f"{figures['paging'] / 1000:.0f} thousand a second",
        f"every page was compared when it was put out, and all at the end; "
        f"{figures['changed']:.0f} were put out in the middle of their copy",
    ]


def draw(samples: list[dict[str, float]], figures: dict[str, float], out: Path) -> None:
    """What was in the pool, and how much had been copied, over time."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "vuc", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    some = samples[:: max(1, len(samples) // POINTS)]
    seconds = [row["seconds"] for row in some]
    figure, resident = pyplot.subplots(figsize=(7.2, 3.2), layout="constrained")
    scale = PAGE / UNITS["M"]
    resident.plot(seconds, [row["resident"] * scale for row in some], color="C0", linewidth=1.2)
    resident.axhline(figures["pool"] * scale, color="C3", linestyle=":", linewidth=1)
    resident.set_ylim(0, figures["pool"] * scale * 1.1)
    resident.set_xlabel("seconds")
    resident.set_ylabel("resident pages, MiB (dotted: the pool)", color="C0")
    moved = resident.twinx()
    for key, factor, style, name in (("in", PAGE, "-", "pages brought in"),
                                     ("copied", 1, "--", "copied by the device")):  # fmt: skip
        moved.plot(seconds, [row[key] * factor / UNITS["G"] for row in some], style, color="C1",
                   linewidth=1.2, label=name)  # fmt: skip
    moved.set_ylim(bottom=0)
    moved.set_ylabel("GiB since the beginning", color="C1")
    moved.legend(loc="lower right", frameon=False)
    text = io.StringIO()
    figure.savefig(text, metadata={"Date": None, "Creator": None})
    rows = [line.rstrip() + "\n" for line in text.getvalue().splitlines()]
    out.write_text("".join(rows), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--iova", type=pages, default=pages("10G"))
    parser.add_argument("--pool", type=pages, default=pages("64M"))
    parser.add_argument("--segment", type=pages, default=pages("1M"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--report", type=Path)
    parser.add_argument("--svg", type=Path)
    parser.add_argument("server", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    server = options.server or [str(options.build / SERVER[0]), *SERVER[1:]]
    numbers: list[Any] = [options.iova, options.pool, options.segment, options.rounds, options.seed]
    done = subprocess.run([options.build / "bench/bench_paging", *map(str, numbers), *server],
                          stdout=subprocess.PIPE, text=True, check=False)  # fmt: skip
    if done.returncode:
        return done.returncode
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    samples = [row for row in rows if "resident" in row]
    figures = {row["name"]: row["value"] for row in rows if "name" in row}
    report = options.report or options.build / "report"
    report.mkdir(parents=True, exist_ok=True)
    (report / "demo.json").write_text(
        json.dumps({"figures": figures, "samples": samples}, indent=1), encoding="utf-8")
    print("\n".join(lines(figures)))
    if options.svg:
        draw(samples, figures, options.svg)
        print(f"drawn: {options.svg}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
