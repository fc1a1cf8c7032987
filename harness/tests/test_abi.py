# SPDX-License-Identifier: BSD-3-Clause
"""vuc/_abi.py says what vuc.h says: a C compiler compares each structure, number and function."""

import os
import re
import shutil
import subprocess
from ctypes import (
    POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p,
    sizeof,
)
from pathlib import Path

import pytest

from vuc import _abi

HERE = Path(__file__).resolve().parents[1]
CC = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or "clang"
STRICT = ["-std=c11", "-D_GNU_SOURCE", f"-I{HERE}", "-Wall", "-Wextra", "-Wconversion",
          "-Wsign-conversion", "-Werror"]
HEADER = re.sub(r"/\*.*?\*/", "", (HERE / "vuc.h").read_text(), flags=re.DOTALL)
C_NAMES = {
    None: "void", c_int: "int", c_int32: "int32_t", c_int64: "int64_t", c_size_t: "size_t",
    c_uint16: "uint16_t", c_uint32: "uint32_t", c_uint64: "uint64_t", c_void_p: "void *",
    c_char_p: "char *", POINTER(c_char_p): "const char *const *",
}


def run_c(tmp_path, rows):
    source = tmp_path / "ask.c"
    body = "\n\t".join(rows)
    source.write_text(f'#include <stdio.h>\n#include "vuc.h"\nint main(void)\n{{\n\t{body}\n}}\n')
    program = tmp_path / "ask"
    subprocess.run([CC, *STRICT, str(source), "-o", str(program)], check=True)
    done = subprocess.run([str(program)], check=True, capture_output=True, text=True)
    return [line.split() for line in done.stdout.splitlines()]


def header_structs():
    found = re.findall(r"struct (vuc_\w+) \{(.*?)\n\};", HEADER, flags=re.DOTALL)
    return {name: re.findall(r"(\w+)(?:\[\w+\])?;", body) for name, body in found}


def header_enums():
    found = re.findall(r"enum (vuc_\w+) \{(.*?)\n\};", HEADER, flags=re.DOTALL)
    return {name: re.findall(r"\b(VUC_\w+) =", body) for name, body in found}


def test_the_same_structures_with_the_same_fields_in_the_same_order():
    ours = {name: [field for field, _ in rows] for name, rows in _abi.STRUCTS.items()}
    assert ours == header_structs()


def test_every_field_has_the_offset_and_size_that_the_compiler_gives_it(tmp_path):
    rows, ours = [], []
    for name, fields in _abi.STRUCTS.items():
        kind = _abi.types[name]
        rows.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        ours.append([name, str(sizeof(kind))])
        for field, _ in fields:
            rows.append(f'printf("{name}.{field} %zu %zu\\n", offsetof(struct {name}, {field}), '
                        f"sizeof(((struct {name} *)0)->{field}));")
            place = getattr(kind, field)
            ours.append([f"{name}.{field}", str(place.offset), str(place.size)])
    assert run_c(tmp_path, rows) == ours


def test_every_enumeration_and_number_has_the_value_that_the_compiler_gives_it(tmp_path):
    assert {name: list(rows) for name, rows in _abi.ENUMS.items()} == header_enums()
    numbers = {**_abi.DEFINES, **{k: v for rows in _abi.ENUMS.values() for k, v in rows.items()}}
    rows = [f'printf("{name} %lld\\n", (long long){name});' for name in numbers]
    answers = run_c(tmp_path, rows)
    assert answers == [[name, str(value)] for name, value in numbers.items()]


def test_the_same_numbers_are_defined():
    assert set(re.findall(r"#define (VUC_\w+)\s+\d", HEADER)) == _abi.DEFINES.keys()


def test_the_same_functions_are_declared():
    assert re.findall(r"VUC_EXPORT [\w ]+?[ *](vuc_\w+)\(", HEADER) == list(_abi.FUNCTIONS)


def c_name(kind):
    if kind in C_NAMES:
        return C_NAMES[kind]
    inner = kind._type_
    if hasattr(inner, "_type_") and not isinstance(inner._type_, str):
        return f"{c_name(inner)}*"
    return f"struct {inner.__name__} *"


def test_every_function_takes_and_gives_what_is_declared(tmp_path):
    # A wrong kind of pointer, a lossy conversion and a wrong number of arguments are errors.
    checks = []
    for name, (result, arguments) in _abi.FUNCTIONS.items():
        # A table is handed out as a pointer to constant rows, which ctypes can not say.
        words = [c_name(kind) for kind in arguments]
        if name in ("vuc_commands", "vuc_fields", "vuc_constants"):
            words = ["const " + word for word in words]
        values = ", ".join(f"({word})0" for word in words)
        checks.append(f"_Static_assert(__builtin_types_compatible_p(__typeof__({name}({values})), "
                      f'{c_name(result)}), "{name}");')
        checks += [f"void use_{name}(void);",
                   f"void use_{name}(void) {{ (void){name}({values}); }}"]
    source = tmp_path / "calls.c"
    source.write_text('#include "vuc.h"\n' + "\n".join(checks) + "\n")
    subprocess.run([CC, *STRICT, "-c", str(source), "-o", str(tmp_path / "calls.o")], check=True)


def test_a_missing_library_says_how_to_make_it(tmp_path):
    with pytest.raises(_abi.LibraryError, match="make build/libvuc.so"):
        _abi.load(tmp_path / "libvuc.so")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unsigned int vuc_abi_version(void) { return 99; }", "ABI version 99"),
        ("unsigned int vuc_abi_version(void) { return 1; }", "has no vuc_commands"),
        ("int something_else;", "no harness library"),
    ],
    ids=["other-version", "function-missing", "other-library"],
)
def test_a_library_that_is_another_one_is_refused(tmp_path, text, words):
    source, library = tmp_path / "other.c", tmp_path / "libvuc.so"
    source.write_text(text)
    subprocess.run([CC, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    with pytest.raises(_abi.LibraryError, match=words):
        _abi.load(library)


def test_a_negative_result_becomes_an_os_error_with_its_errno():
    with pytest.raises(FileNotFoundError, match="client_connect"):
        _abi.create("client_connect", "vuc_client", b"/nowhere/at/all", 0)


def test_pointers_are_as_wide_as_the_compiler_thinks():
    assert sizeof(POINTER(c_int)) == sizeof(c_void_p)
