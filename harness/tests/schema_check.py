# SPDX-License-Identifier: BSD-3-Clause
"""Checks a value against the part of JSON Schema that ci/report.schema.json uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool}
USED = {
    "$schema", "$defs", "$ref", "title", "description", "type", "required", "properties", "items",
    "additionalProperties", "const", "enum", "minimum",
}  # fmt: skip


def type_fits(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        kinds = int if name == "integer" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def errors(value: Any, schema: dict, whole: dict, place: str = "report") -> Iterator[str]:
    """What is wrong, one line each; nothing when the value fits."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    if schema.keys() - USED:
        yield f"{place}: the checker does not know {sorted(schema.keys() - USED)}"
    if "type" in schema and not type_fits(value, schema["type"]):
        yield f"{place}: {value!r} is no {schema['type']}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{place}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{place}: {value!r} is below {schema['minimum']}"
    if isinstance(value, dict):
        yield from object_errors(value, schema, whole, place)
    for index, one in enumerate(value if isinstance(value, list) else []):
        yield from errors(one, schema.get("items", {}), whole, f"{place}[{index}]")


def object_errors(value: dict, schema: dict, whole: dict, place: str) -> Iterator[str]:
    for key in schema.get("required", []):
        if key not in value:
            yield f"{place}: {key!r} is missing"
    more = schema.get("additionalProperties", True)
    for key, one in value.items():
        found = schema.get("properties", {}).get(key, more)
        if found is False:
            yield f"{place}: {key!r} is not allowed"
        elif found is not True:
            yield from errors(one, found, whole, f"{place}.{key}")
