# SPDX-License-Identifier: BSD-3-Clause
"""The curves of limits as SVG that stands in the page itself: needs matplotlib, no network.

A server that was run has a full line, a baseline a dashed one; colour and marker are the server's
in all plots. Both axes are logarithmic, so a cost per unit that stays the same is a line of slope
one, and a bound is a level one. What is below the noise of a metric lies on its lowest line. A
cross is the unit that was refused first, with its errno; a square is where the server has closed
the connection.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from textwrap import shorten
from typing import Any

import limits_model
from limits_model import Panel, Row, Series
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator
from vuc.limits import NOISE

COLOURS = ("#0b57b8", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0e7490", "#be185d", "#444444")
MARKERS = "osD^vP<>"
COLUMNS = 3
PANEL = (3.6, 2.5)  # inches
TICKS = 6
TITLE = 52  # letters
ROW_HEIGHT = 0.24  # inches of a row of the overview
WORDS = ("Full lines and filled dots are runs; dashed lines and hollow dots are baselines, whose "
         "curves are fits. Both axes are logarithmic: the same cost for each unit is a line of "
         "slope one, a bound is level, and what means nothing lies on the lowest line. A cross is "
         "the first unit that was refused.")
STYLE = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 8, "axes.titlesize": 8.5,
         "font.family": "sans-serif", "axes.spines.top": False, "axes.spines.right": False}
GRID = {"color": "#d5d9e0", "linewidth": 0.6}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
IDS = re.compile(r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick|legend|'
                 r'LineCollection|PathCollection)_\d+"')


def styles(all_series: Sequence[Series]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each server, by name."""
    names = dict.fromkeys(one.name for one in all_series)
    return {name: {"color": COLOURS[number % len(COLOURS)],
                   "marker": MARKERS[number % len(MARKERS)]}
            for number, name in enumerate(names)}


def look(one: Series, style: dict[str, Any]) -> dict[str, Any]:
    """How the line of a series is drawn."""
    dash = {"linestyle": "--", "alpha": 0.6} if one.run is None else {"linestyle": "-"}
    return {**style, **dash, "linewidth": 1.3, "markersize": 3, "markevery": 3}


def svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an element of a page, its ids its own; title is for who can not see it."""
    out = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(out, metadata=NO_METADATA)
    text = out.getvalue()
    text = IDS.sub("", text[text.index("<svg"):])
    words = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)


def _at(points: Sequence[tuple[float, float]], units: float) -> float:
    # The value at that many units, between the points beside it.
    for (left, low), (right, high) in zip(points, points[1:], strict=False):
        if left <= units <= right and right > left:
            return low + (high - low) * (units - left) / (right - left)
    return points[-1][1]


def _draw_line(axes: Axes, one: dict[str, Any], metric: str, how: dict[str, Any]) -> None:
    points = limits_model.curve(one, metric)
    floor = NOISE[metric]
    shown = [(units, max(value, floor)) for units, value in points if units > 0]
    axes.plot(*zip(*shown, strict=True), **how)
    colour = how["color"]
    refused = one["refused_at"]
    if refused and refused[0] > 1:
        place = (refused[0], max(_at(points, refused[0]), floor))
        axes.plot(*place, marker="X", color=colour, markersize=9, markeredgecolor="white")
        axes.annotate("/".join(one["errnos"]).replace("0", "no reason"), place, color=colour,
                      xytext=(-4, 7), textcoords="offset points", ha="right", fontsize=7)
    elif one["ended"]:
        axes.plot(*shown[-1], marker="s", color=colour, markersize=8, markeredgecolor="white")
        axes.annotate("closed", shown[-1], xytext=(-4, 7), textcoords="offset points",
                      ha="right", fontsize=7, color=colour)


def draw_panel(axes: Axes, panel: Panel, style: dict[str, dict[str, Any]]) -> None:
    """One panel: its curves, baselines below what was run."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for some, one in sorted(panel.lines, key=lambda line: line[0].run is not None):
        _draw_line(axes, one, panel.metric, look(some, style[some.name]))
    axes.set_ylim(bottom=NOISE[panel.metric] * 0.7)
    axes.set_title(shorten(panel.title, TITLE, placeholder=" ..."), loc="left", pad=9)
    axes.set_xlabel(f"{panel.unit}s", labelpad=1)
    axes.set_ylabel(limits_model.WORDS[panel.metric], labelpad=2)
    _ticks(axes.xaxis)
    _ticks(axes.yaxis)
    axes.grid(**GRID)


def _short(value: float, _: int) -> str:
    # 0.1, 100, 10k, 1M
    return f"{value:g}" if value < 1000 else EngFormatter(sep="")(value)


def _ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(numticks=TICKS))
    axis.set_major_formatter(_short)
    axis.set_minor_locator(NullLocator())


def _legend(figure: Figure, all_series: Sequence[Series], style: dict[str, Any],
            inches: float) -> None:
    handles = [Line2D([], [], label=one.label, **look(one, style[one.name]))
               for one in all_series]
    handles.append(Line2D([], [], marker="X", linestyle="", color="#444", markersize=7,
                          label="first refusal"))
    figure.legend(handles=handles, loc="upper left", ncols=3, frameon=False,
                  bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
    figure.subplots_adjust(top=1 - (0.4 + 0.17 * ((len(handles) + 2) // 3)) / inches)


def family(panels: Sequence[Panel], all_series: Sequence[Series], title: str) -> str:
    """The panels of a family as one plot."""
    style = styles(all_series)
    down = -(-len(panels) // COLUMNS)
    inches = down * PANEL[1] + 0.6
    with rc_context(STYLE):
        figure = Figure(figsize=(COLUMNS * PANEL[0], inches))
        for number, panel in enumerate(panels):
            draw_panel(figure.add_subplot(down, COLUMNS, number + 1), panel, style)
        figure.subplots_adjust(left=0.06, right=0.99, bottom=0.48 / inches, wspace=0.28,
                               hspace=0.5)
        _legend(figure, all_series, style, inches)
        return svg(figure, title, title)


Measure = Callable[[dict[str, Any]], float]


def _late(one: dict[str, Any]) -> float:
    return one["honest"]["ratio_p99"] if one["honest"] else 0.0


MEASURES: tuple[tuple[str, Measure], ...] = (
    ("memory of a unit, bytes", limits_model.bytes_of_unit),
    ("processor time of a unit, us", limits_model.time_of_unit),
    ("an honest client's p99, times that without", _late),
)


def _most(some: Series, row: str, measure: Measure) -> float:
    return max(map(measure, some.of_row(row).values()), default=0.0)


def _dots(axes: Axes, some: Series, how: dict[str, Any], names: Sequence[str],
          measure: Measure) -> None:
    dots = [(_most(some, name, measure), place) for place, name in enumerate(names)]
    dots = [dot for dot in dots if dot[0] > 0]
    if dots:
        face = "none" if some.run is None else how["color"]
        axes.scatter(*zip(*dots, strict=True), s=26, marker=how["marker"], facecolors=face,
                     edgecolors=how["color"], linewidths=1.1, zorder=3)


def overview(all_series: Sequence[Series], rows: Sequence[Row]) -> str:
    """What a unit of each row costs at each server, the dearest of its floods: a dot for each, on
    logarithmic axes."""
    style = styles(all_series)
    names = [row.name for row in rows]
    labels = [shorten(f"{row.name} {row.attacks}", TITLE, placeholder=" ...") for row in rows]
    inches = len(names) * ROW_HEIGHT + 1.3
    with rc_context(STYLE):
        figure = Figure(figsize=(COLUMNS * PANEL[0], inches))
        for column, (title, measure) in enumerate(MEASURES):
            axes = figure.add_subplot(1, len(MEASURES), column + 1)
            axes.set_xscale("log")
            for some in all_series:
                _dots(axes, some, style[some.name], names, measure)
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_yticks(range(len(names)), labels if column == 0 else [""] * len(names))
            axes.set_title(title, loc="left")
            _ticks(axes.xaxis)
            axes.grid(**GRID)
        figure.subplots_adjust(left=0.25, right=0.99, bottom=0.35 / inches, wspace=0.06)
        _legend(figure, all_series, style, inches)
        return svg(figure, "overview", "What a unit costs")


def plots(all_series: Sequence[Series], table: Mapping[str, Row]) -> list[tuple[str, str, str]]:
    """Title, words and SVG of all plots in order."""
    dots = [row for row in table.values() if any(
        _most(some, row.name, measure) > 0 for some in all_series if some.run
        for _, measure in MEASURES)]
    found = [("What a unit costs", "", overview(all_series, dots))] if dots else []
    for group in limits_model.families(all_series, table):
        nothing = ", ".join(group.nothing)
        rest = f"Nothing that counts is held in {nothing}." if nothing else ""
        for panels, what, words in ((group.held, "what is held", rest),
                                    (group.busy, "processor time", "")):
            if panels:
                title = f"{group.title}: {what}"
                found.append((title, words, family(panels, all_series, title)))
    return found
