# SPDX-License-Identifier: BSD-3-Clause
"""The rules of the house that a script can prove, over all files that git would commit.

    check_style.py [ROOT]

Each rule is a function from a source to (line, text) pairs, listed in RULES with the kinds of file
it applies to. Prints one line per violation and exits 1, or says how many files it read and exits
0. Kinds: c, h, py, sh, make, data (toml, yml, txt and the like), text (all the rest).
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

COLUMNS = 100
FILE_LINES = 600
FUNCTION_LINES = 60
PARAMETERS = 5
HEAD_LETTERS = 40

# Files that may sleep, each with the reason. Everything else waits on a descriptor or a clock.
SLEEPERS: dict[str, str] = {}

# Functions that somebody else calls, who says what their parameters are.
FOREIGN = {"LLVMFuzzerCustomCrossOver": "libFuzzer", "afl_custom_fuzz": "AFL++"}

KINDS = {
    ".c": "c", ".h": "h", ".py": "py", ".sh": "sh", ".toml": "data", ".yml": "data",
    ".yaml": "data", ".txt": "data", ".xsd": "text", ".md": "text", ".prog": "text",
}  # fmt: skip
SPDX = {
    "c": "/* SPDX-License-Identifier: BSD-3-Clause */",
    "h": "/* SPDX-License-Identifier: BSD-3-Clause */",
}
SPDX_HASH = "# SPDX-License-Identifier: BSD-3-Clause"

C_NOISE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|^[ \t]*\#(?:\\\n|[^\n])*""",
    re.DOTALL | re.MULTILINE,
)
PARENTHESES = re.compile(r"\([^()]*\)")
MARKS = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK")) + r")\b")
SLEEP_C = re.compile(r"\b(sleep|usleep|nanosleep|clock_nanosleep)\s*\(")
SLEEP_PY = re.compile(r"\btime\.sleep\b|\bfrom\s+time\s+import\b.*\bsleep\b")
SLEEP_SH = re.compile(r"(?:^|[;&|({]|\bdo\b|\bthen\b)\s*sleep\s")
# Clearing it before strtol and putting back a saved value are no channel.
ERRNO = re.compile(r"(?<![\w.>])errno\s*=(?!=)(?!\s*(?:0|saved|kept)\s*;)")
TYPEDEF = re.compile(r"\btypedef\s+(struct|union)\b")
PLACES = re.compile(
    r"(?<![\w.$})~/-])/(" + "|".join(("wo" "rk", "fa" "rm", "ro" "ot", "ho" "me")) + r")\b"
)
REGISTRIES = re.compile(
    r"(?<![\w-])(?:[\w-]+\.)*(?:"
    + "|".join(
        name + r"\." + top
        for name, top in (
            ("pypi", "org"), ("pythonhosted", "org"), ("crates", "io"), ("npmjs", "org"),
            ("proxy.golang", "org"), ("rubygems", "org"), ("deb.debian", "org"),
            ("archive.ubuntu", "com"), ("maven", "org"),
        )
    )  # fmt: skip
    + r")(?![\w-])"
)


@dataclass(frozen=True)
class Source:
    """One file: `path` relative to the root, with `/`."""

    path: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def kind(self) -> str:
        path = Path(self.path)
        if path.name == "Makefile":
            return "make"
        if self.text.startswith("#!") and "sh" in self.lines[0]:
            return "sh"
        return KINDS.get(path.suffix, "text")

    @cached_property
    def code(self) -> str:
        """C without comments, literals and directives; every line stays where it was."""
        return C_NOISE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), self.text)


@dataclass(frozen=True)
class Function:
    """A C function: its name, lines from the first of its signature, count of parameters."""

    name: str
    line: int
    lines: int
    parameters: int


Found = Iterator[tuple[int, str]]


def grep(pattern: re.Pattern[str], text: str, message: str) -> Found:
    for number, line in enumerate(text.splitlines(), 1):
        if found := pattern.search(line):
            yield number, message.format(found.group().strip())


def head(source: Source) -> int:
    """Index of the line where the SPDX line belongs: the first, or the second after #!."""
    return 1 if source.text.startswith("#!") else 0


def spdx(source: Source) -> Found:
    wanted = SPDX.get(source.kind, SPDX_HASH)
    at = head(source)
    if len(source.lines) <= at or source.lines[at] != wanted:
        yield at + 1, f"the first line is not `{wanted}`"


def paragraph(source: Source) -> Found:
    rest = "\n".join(source.lines[head(source) + 1 :])
    if source.kind in ("c", "h"):
        found = re.match(r"\s*/\*(.*?)\*/", rest, re.DOTALL)
        text = found.group(1) if found else ""
        if re.search(r"\b[Ss]ee \w+\.h\b", text):
            return  # the header is the manual
    elif source.kind == "py":
        text = ast.get_docstring(ast.parse(source.text)) or ""
    else:
        found = re.match(r"(?:#.*\n?|\n)+", rest)
        text = found.group() if found else ""
    if len(re.findall(r"\w", text)) < HEAD_LETTERS:
        yield head(source) + 2, "no paragraph at the head of the file that says what it is for"


def columns(source: Source) -> Found:
    for number, line in enumerate(source.lines, 1):
        if (width := len(line.expandtabs(8))) > COLUMNS:
            yield number, f"{width} columns, the limit is {COLUMNS}"


def file_length(source: Source) -> Found:
    if (count := len(source.lines)) > FILE_LINES:
        yield count, f"{count} lines, the limit is {FILE_LINES}"


def blanks(source: Source) -> Found:
    yield from grep(re.compile(r"[ \t]+$"), source.text, "blanks at the end of the line")
    if source.text and not source.text.endswith("\n"):
        yield len(source.lines), "no newline at the end of the file"


def marks(source: Source) -> Found:
    yield from grep(MARKS, source.text, "{} is left in the tree")


def parse_signature(signature: str) -> tuple[str, int] | None:
    """Name and count of parameters, or None if the text before a brace is no function's."""
    flat = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", signature, flags=re.DOTALL).strip()
    if not flat.endswith(")") or "=" in flat:
        return None
    while (inner := PARENTHESES.sub("<>", flat)) != flat:
        last, flat = flat, inner
    opening = len(last) - len(PARENTHESES.findall(last)[-1])
    inside = last[opening + 1 : -1].strip()
    name = re.search(r"(\w+)\s*$", last[:opening])
    if name is None:
        return None
    return name.group(1), 0 if inside in ("", "void") else inside.count(",") + 1


def functions(source: Source) -> Iterator[Function]:
    """The functions of a C file, by counting braces outside comments, literals and directives."""
    depth, start = 0, 0
    current: tuple[str, int] | None = None
    first = 0
    for found in re.finditer(r"[{};]", source.code):
        at, token = found.start(), found.group()
        if depth == 0 and token == "{":
            signature = source.code[start:at]
            current = parse_signature(signature)
            first = source.code.count("\n", 0, at - len(signature.lstrip())) + 1
        depth += {"{": 1, "}": -1, ";": 0}[token]
        if depth == 0 and token != "{":
            if current and token == "}":
                last = source.code.count("\n", 0, at) + 1
                yield Function(current[0], first, last - first + 1, current[1])
            current, start = None, at + 1


def python_functions(source: Source) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(node.name, node.lineno, lines, len(node.args.args))


def function_length(source: Source) -> Found:
    listed = python_functions if source.kind == "py" else functions
    for function in listed(source):
        if function.lines > FUNCTION_LINES:
            yield function.line, (
                f"{function.name} has {function.lines} lines, the limit is {FUNCTION_LINES}"
            )


def parameters(source: Source) -> Found:
    for function in functions(source):
        if function.parameters > PARAMETERS and function.name not in FOREIGN:
            yield function.line, (
                f"{function.name} has {function.parameters} parameters, the limit is {PARAMETERS}"
            )


def braces(source: Source) -> Found:
    if source.code.count("{") != source.code.count("}"):
        yield 1, "braces do not balance, functions cannot be counted"


def typedefs(source: Source) -> Found:
    yield from grep(TYPEDEF, source.code, "{}: structs go by their own name")


def errno_channel(source: Source) -> Found:
    yield from grep(ERRNO, source.code, "errno is set; return the negative value")


def sleeps(source: Source) -> Found:
    if source.path in SLEEPERS:
        return
    pattern = {"py": SLEEP_PY, "sh": SLEEP_SH}.get(source.kind, SLEEP_C)
    text = source.code if source.kind in ("c", "h") else source.text
    yield from grep(pattern, text, "{}: wait on a descriptor or a clock instead")


def registries(source: Source) -> Found:
    yield from grep(REGISTRIES, source.text, "{} is the host of a package registry")


def places(source: Source) -> Found:
    yield from grep(PLACES, source.text, "{} is a path of one machine")


C = ("c", "h")
CODE = (*C, "py", "sh", "make")
ALL = (*CODE, "data", "text")
RULES: list[tuple[Callable[[Source], Found], tuple[str, ...]]] = [
    (spdx, (*CODE, "data")),
    (paragraph, CODE),
    (columns, CODE),
    (file_length, CODE),
    (blanks, ALL),
    (marks, CODE),
    (braces, C),
    (function_length, (*C, "py")),
    (parameters, C),
    (typedefs, C),
    (errno_channel, C),
    (sleeps, (*C, "py", "sh")),
    (registries, ALL),
    (places, ALL),
]


def check(source: Source) -> list[str]:
    """All violations of one source, as `path:line: text`."""
    return [
        f"{source.path}:{line}: {text}"
        for rule, kinds in RULES
        if source.kind in kinds
        for line, text in rule(source)
    ]


def list_files(root: Path) -> list[str]:
    """What git tracks or would track; without git (an unpacked archive) all but build/."""
    command = ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        names = output.split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()]
        names = [n for n in names if not n.startswith(("build/", ".git/")) and ".pyc" not in n]
    return sorted({n for n in names if n and (root / n).is_file()})


def main(arguments: list[str]) -> int:
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent).resolve()
    count, errors = 0, []
    for name in list_files(root):
        content = (root / name).read_bytes()
        if b"\0" in content:
            continue
        count += 1
        try:
            errors += check(Source(name, content.decode("utf-8")))
        except (UnicodeDecodeError, SyntaxError) as error:
            errors.append(f"{name}:1: cannot be read: {error}")
    print("\n".join(errors) if errors else f"style: {count} files, {len(RULES)} rules, all kept")
    return 1 if errors or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
