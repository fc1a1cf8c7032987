# SPDX-License-Identifier: BSD-3-Clause
"""The mutants of a C file: single edits of its text that change what the program does.

clang's syntax tree (-ast-dump=json) says where the operators, constants and statements are; each
edit replaces the bytes [start, end) of the file. What stands in the body of a macro is left alone,
and so are calls that only write to the log, and what only the faulty build has. The list depends
on nothing but the text of the file and its headers, and is in the order of the file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

OPERATORS = {
    "relation": {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<")},
    "equality": {"==": ("!=",), "!=": ("==",)},
    "logic": {"&&": ("||",), "||": ("&&",)},
    "arithmetic": {"+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",), "%": ("*",),
                   "+=": ("-=",), "-=": ("+=",), "*=": ("/=",), "/=": ("*=",)},
    "bits": {"&": ("|",), "|": ("&",), "^": ("|",), "<<": (">>",), ">>": ("<<",),
             "&=": ("|=",), "|=": ("&=",), "^=": ("|=",), "<<=": (">>=",), ">>=": ("<<=",)},
}  # fmt: skip
# Where the condition and the bodies of a statement stand among its parts.
CONDITIONS = {"IfStmt": 0, "WhileStmt": 0, "DoStmt": 1, "ForStmt": 2}
BODIES = {"IfStmt": (1, 2), "WhileStmt": (1,), "DoStmt": (0,), "ForStmt": (4,), "CaseStmt": (1,),
          "DefaultStmt": (0,), "LabelStmt": (0,)}  # fmt: skip
NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)(?![\w.])")
SILENT = ("log_",)  # calls that nobody but the log notices
NOTHING = "(void)0"
# Begins a condition behind which stands what the ordinary build does not have.
FAULTY_ONLY = re.compile(r"(?!.*\|\|).*(?<!!)fault_on\(", re.DOTALL)


@dataclass(frozen=True)
class Mutant:
    """One edit. owner: the function, or the variable outside of functions, in which it is; nth:
    which of those that read alike. before and after are the lines that it touches."""

    file: str
    owner: str
    in_function: bool
    operator: str
    line: int
    start: int
    end: int
    text: str
    before: str
    after: str
    nth: int = 1

    @property
    def key(self) -> str:
        """Its name, which stays when lines move."""
        also = f" #{self.nth}" if self.nth > 1 else ""
        return f"{self.file}:{self.owner}: {self.before} -> {self.after}{also}"

    def applied(self, source: bytes) -> bytes:
        """The text of the file with the edit."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def tree_of(path: Path, flags: Sequence[str]) -> dict:
    """clang's syntax tree of a file. CalledProcessError when it does not compile."""
    words = ["clang", *flags, "-fsyntax-only", "-w", "-Xclang", "-ast-dump=json", str(path)]
    # A cache before the compiler would answer with the tree of an equal file elsewhere.
    env = {**os.environ, "CCACHE_DISABLE": "1"}
    return json.loads(subprocess.run(words, capture_output=True, check=True, env=env).stdout)


def own_declarations(tree: dict, name: str) -> Iterator[dict]:
    """The declarations that stand in the file of that name itself. A place names its file only
    where that is another one than the place before it, in the order of the tree."""
    file = ""

    def follow(node: dict) -> None:
        nonlocal file
        if "offset" in node:
            file = node.get("file", file)
        for part in node.values():
            for one in part if isinstance(part, list) else (part,):
                if isinstance(one, dict):
                    follow(one)

    for node in tree["inner"]:
        follow(node.get("loc", {}))
        if file == name:
            yield node
        follow({key: part for key, part in node.items() if key != "loc"})


class Finder:
    """Finds the mutants of one file."""

    def __init__(self, path: Path, name: str, flags: Sequence[str]):
        self.name = name
        self.source = path.read_bytes()
        self.tree = tree_of(path, flags)
        self.path = str(path)
        self.owner: dict = {}

    @cached_property
    def mutants(self) -> list[Mutant]:
        """All of them, each edit once."""
        found: dict[tuple, Mutant] = {}
        for self.owner in own_declarations(self.tree, self.path):
            for mutant in self.walk(self.owner):
                found.setdefault((mutant.start, mutant.end, mutant.text), mutant)
        seen: Counter[str] = Counter()
        numbered = []
        for mutant in sorted(found.values(), key=lambda m: (m.start, m.end, m.text)):
            seen[mutant.key] += 1
            numbered.append(replace(mutant, nth=seen[mutant.key]))
        return numbered

    # ---- places ----

    def place(self, spot: dict) -> tuple[int, int, bool]:
        """Offset and length of a token in this file, and whether it is what a macro came to."""
        if "expansionLoc" in spot and not spot["expansionLoc"].get("isMacroArgExpansion"):
            spot = spot["expansionLoc"]
            return spot["offset"], spot["tokLen"], True
        spot = spot.get("spellingLoc", spot)
        return spot["offset"], spot["tokLen"], False

    def span(self, node: dict) -> tuple[int, int]:
        """The bytes of a node; the arguments of a macro at its end belong to it."""
        start = self.place(node["range"]["begin"])[0]
        offset, length, macro = self.place(node["range"]["end"])
        end = offset + length
        if macro and self.source[end : end + 1] == b"(":
            depth = 0
            for at in range(end, len(self.source)):
                depth += {40: 1, 41: -1}.get(self.source[at], 0)
                if depth == 0:
                    return start, at + 1
        return start, end

    def words(self, node: dict) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode()

    def edit(self, operator: str, span: tuple[int, int], text: str) -> Mutant:
        start, end = span
        first = self.source.rfind(b"\n", 0, start) + 1
        last = self.source.find(b"\n", max(start, end - 1))
        head, old, tail = (self.source[a:b].decode() for a, b in
                           ((first, start), (start, end), (end, last)))
        before, after = (" ".join(f"{head}{x}{tail}".split()) for x in (old, text))
        return Mutant(self.name, self.owner.get("name", ""), self.owner["kind"] == "FunctionDecl",
                      operator, self.source.count(b"\n", 0, start) + 1, start, end, text, before,
                      after)

    # ---- operators ----

    def walk(self, node: dict) -> Iterator[Mutant]:
        """The mutants of a node and of all below it."""
        parts = node.get("inner", [])
        kind = node.get("kind")
        if kind == "IfStmt" and FAULTY_ONLY.match(self.words(parts[0])):
            parts = parts[:1] + parts[2:]
        if "range" in node and "begin" in node["range"] and node["range"]["begin"]:
            yield from self.of_expression(node, parts)
            if kind in CONDITIONS and parts[CONDITIONS[kind]]:
                span = self.span(parts[CONDITIONS[kind]])
                yield self.edit("condition", span, f"!({self.words(parts[CONDITIONS[kind]])})")
            if kind == "ReturnStmt" and parts:
                yield from self.of_result(parts[0])
            bodies = range(len(parts)) if kind == "CompoundStmt" else BODIES.get(kind, ())
            for body in (parts[n] for n in bodies if n < len(parts)):
                yield from self.without(body)
        for part in parts:
            yield from self.walk(part)

    def of_expression(self, node: dict, parts: list[dict]) -> Iterator[Mutant]:
        match node["kind"]:
            case "BinaryOperator" | "CompoundAssignOperator":
                yield from self.of_operator(node["opcode"], self.span(parts[1])[0])
            case "ConditionalOperator":
                (first, middle), (other, last) = self.span(parts[1]), self.span(parts[2])
                between = self.source[middle:other].decode()
                text = self.words(parts[2]) + between + self.words(parts[1])
                yield self.edit("branches", (first, last), text)
            case "UnaryOperator" if node["opcode"] == "!":
                start, _ = self.span(node)
                if self.source[start : start + 1] == b"!":
                    yield self.edit("negation", (start, start + 1), "")
            case "IntegerLiteral":
                yield from self.of_constant(self.span(node)[0])

    def of_operator(self, opcode: str, right: int) -> Iterator[Mutant]:
        """The operator stands before its right side, or is not in this file."""
        text = self.source[:right].rstrip()
        if not text.endswith(opcode.encode()):
            return
        for name, table in OPERATORS.items():
            for other in table.get(opcode, ()):
                yield self.edit(name, (len(text) - len(opcode), len(text)), other)

    def of_constant(self, start: int) -> Iterator[Mutant]:
        number = NUMBER.match(self.source[start : start + 32].decode(errors="replace"))
        if number is None:
            return
        digits, suffix = number.groups()
        value = int(digits, 0) if digits[:2].lower() == "0x" else int(digits)
        for other in dict.fromkeys((value + 1, value - 1, 0)):
            if other != value:
                text = hex(other) if digits[:2].lower() == "0x" else str(other)
                yield self.edit("constant", (start, start + number.end()), text + suffix)

    def of_result(self, node: dict) -> Iterator[Mutant]:
        kind, words = node["type"].get("desugaredQualType", node["type"]["qualType"]), ""
        words = self.words(node)
        if kind in ("_Bool", "bool"):
            text = {"true": "false", "false": "true"}.get(words, f"!({words})")
        elif "*" in kind:
            text = "NULL"
        elif kind.startswith("struct"):
            return
        else:
            text = "0" if words != "0" else "1" if "unsigned" in kind else "-1"
        if text != words:
            yield self.edit("result", self.span(node), text)

    def without(self, node: dict) -> Iterator[Mutant]:
        """The statement left out, where it is a call or an assignment."""
        kind, opcode = node.get("kind"), node.get("opcode", "")
        call = kind == "CallExpr" or (kind == "CStyleCastExpr" and node["castKind"] == "ToVoid")
        if kind == "CallExpr" and self.words(node).startswith(SILENT):
            return
        if call or opcode == "=" or opcode in ("++", "--") or kind == "CompoundAssignOperator":
            if self.words(node) != NOTHING:
                yield self.edit("statement", self.span(node), NOTHING)


def mutants_of(root: Path, names: Sequence[str], flags: Sequence[str]) -> list[Mutant]:
    """The mutants of ROOT/reference-server/NAME for each name, in their order."""
    found = []
    for name in names:
        found += Finder(root / "reference-server" / name, name, flags).mutants
    return found
