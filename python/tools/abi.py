#!/usr/bin/env python3
"""Writes src/banger/_abi.py, the header include/banger.h as ctypes needs it.

usage: tools/abi.py [--check]

With --check it writes nothing, and fails where the file is not what the header says.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
HEADER = PACKAGE.parent / "include" / "banger.h"
OUTPUT = PACKAGE / "src" / "banger" / "_abi.py"

INTEGERS = {
    "bool": "c_bool",
    "int": "c_int",
    "int16_t": "c_int16",
    "int32_t": "c_int32",
    "int64_t": "c_int64",
    "intptr_t": "c_ssize_t",
    "size_t": "c_size_t",
    "uint8_t": "c_uint8",
    "uint16_t": "c_uint16",
    "uint32_t": "c_uint32",
    "uint64_t": "c_uint64",
    "uintptr_t": "c_size_t",
    "unsigned int": "c_uint",
}

# Bytes with a length, which may hold NUL bytes: ctypes must not cut them.
COUNTED_RESULTS = {"banger_string_data"}

BEGIN = """\
\"\"\"The C ABI, made of include/banger.h by tools/abi.py. Do not edit.\"\"\"

from __future__ import annotations

import ctypes
from ctypes import (
    {}
)
from typing import Any
"""


def without_comments(text: str) -> str:
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return re.sub(r"//[^\n]*", " ", text)


def enums(text: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, body in re.findall(r"\benum\s+(banger_\w+)\s*\{(.*?)\}", text, flags=re.S):
        found[name] = {
            key: int(value, 0)
            for key, value in re.findall(r"\b(BANGER_\w+)\s*=\s*(\w+)", body)
            if not key.endswith("FORCE_32BIT")
        }
    return found


LIMITS = {
    "SIZE_MAX": (1 << 64) - 1,
    "UINT32_MAX": (1 << 32) - 1,
    "UINT64_MAX": (1 << 64) - 1,
    "UINTPTR_MAX": (1 << 64) - 1,
}


def defines(text: str) -> dict[str, int]:
    lines = re.findall(r"^\s*#define\s+(BANGER_\w+)\s+\(?(-?\w+?)[uUlL]*\)?\s*$", text, flags=re.M)
    found = {name: LIMITS.get(value, value) for name, value in lines if re.match(r"-?\d|.*_MAX$", value)}
    return {name: int(str(value), 0) for name, value in found.items()}


def type_of(text: str, *, is_result: bool = False) -> str:
    """Returns the ctypes type of a C type without a name."""
    text = re.sub(r"\s+", " ", text.replace("*", " * ")).strip()
    words = [word for word in text.split() if word not in ("struct", "enum")]
    if words == ["void"] and is_result:
        return "None"
    if "*" in words or any(word.endswith(("_fn", "_func")) for word in words):
        return "c_char_p" if words == ["const", "char", "*"] else "c_void_p"
    name = " ".join(word for word in words if word != "const")
    if name.startswith("banger_"):
        return "c_int"
    return INTEGERS[name]


def structs(text: str) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for name, body in re.findall(r"\bstruct\s+(banger_\w+)\s*\{(.*?)\}", text, flags=re.S):
        fields = []
        for field in filter(None, (line.strip() for line in body.split(";"))):
            parts = re.fullmatch(r"(.*?)(\w+)\s*(\[\d+\])?", field, flags=re.S)
            if parts is None:
                raise SystemExit(f"{name} has a field that this script does not know: {field}")
            kind, field_name, length = parts.groups()
            made = type_of(kind)
            # A pointer to bytes with a length beside it must not be read up to a NUL.
            made = "c_void_p" if made == "c_char_p" else made
            fields.append((field_name, f"{made} * {length[1:-1]}" if length else made))
        found[name] = fields
    return found


def functions(text: str) -> dict[str, tuple[str, list[str]]]:
    text = re.sub(r"^\s*#.*?$", "", text, flags=re.M)
    text = re.sub(r"\btypedef\b[^;{]*;", "", text)
    found: dict[str, tuple[str, list[str]]] = {}
    pattern = r"([A-Za-z_][\w \t\n*]*?[\s*])(banger_\w+)\s*\(([^()]*)\)\s*;"
    for result, name, parameters in re.findall(pattern, text):
        arguments = []
        for parameter in parameters.split(","):
            parameter = parameter.strip()
            if parameter in ("", "void"):
                continue
            arguments.append(type_of(re.sub(r"\w+$", "", parameter)))
        made = type_of(result.replace("extern", ""), is_result=True)
        found[name] = ("c_void_p" if name in COUNTED_RESULTS else made, arguments)
    return found


def module(header: str) -> str:
    constants = dict(sorted(defines(header).items()))
    text = without_comments(header)
    lines: list[str] = []
    for values in (constants, *enums(text).values()):
        lines += [f"{name} = {value}" for name, value in values.items()] + [""]
    for name, fields in structs(text).items():
        if not fields:
            continue
        lines += ["", f"class {name}(ctypes.Structure):", "    _fields_ = ["]
        lines += [f'        ("{field}", {kind}),' for field, kind in fields]
        lines += ["    ]", ""]
    lines += ["", "FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {"]
    for name, (result, arguments) in sorted(functions(text).items()):
        lines.append(f'    "{name}": ({result}, [{", ".join(arguments)}]),')
    lines += ["}", ""]
    body = "\n".join(lines)
    names = sorted(set(re.findall(r"\bc_\w+", body)))
    return BEGIN.format("\n    ".join(f"{name}," for name in names)) + "\n" + body


def main() -> int:
    made = module(HEADER.read_text("utf-8"))
    if sys.argv[1:] == ["--check"]:
        if OUTPUT.read_text("utf-8") == made:
            return 0
        print(f"{OUTPUT} is not what {HEADER} says: run python/tools/abi.py", file=sys.stderr)
        return 1
    OUTPUT.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
