# SPDX-License-Identifier: BSD-3-Clause
"""Makes the report over all targets that were run.

    make_report.py [DIRECTORY]

Reads DIRECTORY/*.json (build/report unless given) and writes report.html, one page that needs
nothing else, and report.md, for the summary of a CI run, beside them. What `make limits` has left
there is in the page as well, with plots where matplotlib is installed, and in short in
limits-TARGET.md. Exit status: 0, or 2 when there is no report or one that can not be used.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "harness")]

import jinja2  # noqa: E402
import limits_model  # noqa: E402
import model  # noqa: E402
from vuc.causes import Cause  # noqa: E402
from vuc.failure import CODES  # noqa: E402
from vuc.register import LEVELS, Register, register  # noqa: E402

FIRST = 12  # causes that the page shows of a target before it folds the rest away
SHORT = {"NONE": "·", "PASS": "pass", "SKIP": "skip", "KNOWN": "known", "DEVIATES": "deviates"}


def repeat(target: model.Target, result: dict) -> str:
    """The command that runs one case of a target again."""
    return target.data["repeat"].replace("{case}", shlex.quote(result["nodeid"]), 1)


def embedded(data: object) -> str:
    """JSON that can stand in a script element, whatever its strings hold."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def code(text: object) -> str:
    """Markdown code that ends where it should; a table may hold it."""
    line = " ".join(str(text).split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in _ticks(line)), default=0))
    blank = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{blank}{line}{blank}{fence}"


def _ticks(line: str) -> list[str]:
    return "".join(c if c == "`" else " " for c in line).split()


def plain(text: object) -> str:
    """Text that Markdown takes as it stands."""
    line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#~!" else c for c in line)


def is_web(link: str) -> bool:
    """May the page make it a link?"""
    return link.startswith(("https://", "http://"))


def ids(cause: Cause, most: int = 4) -> str:
    """The requirements of a cause, the first of them by name."""
    more = len(cause.requirements) - most
    return ", ".join(cause.requirements[:most]) + (f" and {more} more" if more > 0 else "")


def environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    env.filters.update(code=code, plain=plain, ids=ids, is_web=is_web,
                       refusal=limits_model.refusal, bytes_of_unit=limits_model.bytes_of_unit,
                       time_of_unit=limits_model.time_of_unit)
    env.globals.update(CODES=CODES, LEVELS=LEVELS, WORDS=model.WORDS, SHORT=SHORT, FIRST=FIRST,
                       repeat=repeat)
    return env


def limits_plots(shown: list[limits_model.Series], rows: dict[str, limits_model.Row]) -> dict:
    """The plots for the page, and a word on how to read them, or on why there are none."""
    if not shown:
        return {"plots": [], "plots_words": ""}
    try:
        import limits_plots as drawing  # matplotlib is not everywhere
    except ModuleNotFoundError as error:
        return {"plots": [], "plots_words": f"No plots: {error.name} is not installed."}
    return {"plots": drawing.plots(shown, rows), "plots_words": drawing.WORDS}


def render(targets: list[model.Target], rows: Register,
           shown: list[limits_model.Series]) -> dict[str, str]:
    """The files of the report by name."""
    floods = limits_model.rows()
    limits = [limits_model.Summary(one, floods) for one in shown if one.run]
    matrix = model.matrix(targets, rows)
    env = environment()
    shared = {"targets": targets, "matrix": matrix, "register": rows, "limits": limits}
    page = env.get_template("report.html.j2").render(
        **shared, **limits_plots(shown, floods),
        areas=list(dict.fromkeys(row.requirement.area for row in matrix)),
        data=embedded(model.details(targets, matrix)),
        script=(HERE / "report.js").read_text(encoding="utf-8"),
        style=(HERE / "report.css").read_text(encoding="utf-8"),
    )  # fmt: skip
    short = env.get_template("limits.md.j2")
    return {"report.html": page, "report.md": env.get_template("report.md.j2").render(**shared),
            **{f"{one.series.path.stem}.md": short.render(one=one) for one in limits}}


def main(arguments: list[str]) -> int:
    directory = Path(arguments[0] if arguments else "build/report")
    try:
        shown = limits_model.series(directory)
        files = render(model.read_all(directory, register(), bool(shown)), register(), shown)
    except (model.ReportError, limits_model.LimitsError) as error:
        for line in str(error).splitlines():
            print(f"make_report: {line}", file=sys.stderr)
        return 2
    for name, text in files.items():
        part = directory / f"{name}.part{os.getpid()}"
        part.write_text(text, encoding="utf-8", errors="replace")
        part.replace(directory / name)
        print(f"{directory / name}: {len(text) // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
