"""YAML 1.2 documents with the line of every value, read so that one bad document costs only itself.

The core schema is meant (YAML 1.2.2, section 10.3): ``no`` and ``on`` are strings, a date is a string. Keys are
unique, aliases and depth are bounded, and tags other than the core ones are refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
import yaml.cyaml

from uwu.kernel.errors import Problem

MAX_FILE_BYTES = 5 * 1024 * 1024
"""Larger files are refused: an entity file of a thousand documents has about 1 MiB."""
MAX_DEPTH = 64
"""Levels of nesting in one document; the deepest real API definitions stay under 30."""
MAX_ALIASES = 200
"""Aliases that one document may expand: nested ones multiply, so a short file could fill the memory."""
MAX_VALUES = 200_000
"""Values in one document once its aliases are expanded."""

Step = str | int
_CParser: Any = getattr(yaml.cyaml, "CParser")  # noqa: B009 - the stubs do not know libyaml's parser

_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_END = re.compile(r"^\.\.\.\s*$", re.MULTILINE)
_BLANK = re.compile(r"(?:[ \t]*(?:#[^\n]*)?(?:\r?\n|$)|%[^\n]*(?:\n|$))*")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")}


@dataclass(frozen=True)
class Document:
    """One document: its value as plain JSON values, and where each part of it is written."""

    value: Any
    file: str
    line: int
    """Where the document begins: the line of its first content."""
    _root: yaml.Node | None = field(repr=False, default=None)
    _offset: int = field(repr=False, default=0)

    def line_of(self, path: Sequence[Step] = ()) -> int:
        """The line of the value at ``path`` (its key's line in a mapping), or of its nearest known ancestor."""
        node, line = self._root, self.line
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            node, mark = child
            line = mark.line + 1 + self._offset
        return line

    def place(self, path: Sequence[Step] = ()) -> str:
        """``file:line`` of the value at ``path``."""
        return f"{self.file}:{self.line_of(path)}"


def read_file(path: Path, file: str = "") -> Iterator[Document | Problem]:
    """The documents of the file ``path`` in their order; a Problem for each that cannot be read.

    ``file`` is how the file is named in places; the path itself where it is not given.
    """
    file = file or str(path)
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            yield Problem(
                "file-too-large",
                f"the file has {size / 1048576:.1f} MiB; at most {MAX_FILE_BYTES // 1048576} MiB are read",
                file,
                "part it into several files",
            )
            return
        data = path.read_bytes()
    except OSError as error:
        yield Problem(
            "file-unreadable", f"the file cannot be read: {error.strerror}", file, "check that it may be read"
        )
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        yield Problem("yaml-encoding", "the file is not UTF-8", f"{file}:{line}", "save it as UTF-8")
        return
    yield from read_text(text, file)


def read_text(text: str, file: str) -> Iterator[Document | Problem]:
    """The documents of ``text``, each read for itself; empty ones are left out."""
    for chunk, offset in _chunks(text):
        try:
            root: yaml.Node | None = _Composer(chunk).get_single_node()
            if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
                continue
            value = _Builder().build(root)
        except _RefusedError as error:
            line = error.mark.line + 1 + offset
            yield Problem(error.code, str(error), f"{file}:{line}", error.hint)
        except yaml.YAMLError as error:
            yield _syntax(error, chunk, file, offset)
        else:
            yield Document(value, file, root.start_mark.line + 1 + offset, root, offset)


def _chunks(text: str) -> Iterator[tuple[str, int]]:
    """Parts of ``text`` that hold one document each, with the lines before them (YAML 1.2.2, section 9.1.2)."""
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(text))]
    offset = 0
    head = ""
    for begin, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = head + text[begin:end]
        if _BLANK.fullmatch(part):  # comments and directives belong to the document that follows
            head = part
            continue
        head = ""
        lines = part.count("\n")
        ended = _END.search(part)
        if ended is None:
            yield part, offset
        else:
            yield part[: ended.end()], offset
            rest = part[ended.end() :]
            if not _BLANK.fullmatch(rest):
                yield rest.lstrip("\r\n"), offset + lines - rest.lstrip("\r\n").count("\n")
        offset += lines


def _syntax(error: yaml.YAMLError, chunk: str, file: str, offset: int) -> Problem:
    mark: yaml.Mark | None = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    message = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).splitlines()[0]
    context = getattr(error, "context", None)
    line = offset + 1
    if mark is not None:
        line += mark.line
    elif isinstance(getattr(error, "position", None), int):
        line += chunk.count("\n", 0, getattr(error, "position"))  # noqa: B009
    rows = chunk.splitlines()
    text = rows[mark.line] if mark is not None and mark.line < len(rows) else ""
    hint = "check the indentation, the quotes and the brackets at and above this line"
    if "cannot start any token" in message and "\t" in text:
        hint = "indent with spaces: YAML allows no tabs"
    elif "mapping values" in message:
        hint = "quote a value that holds a colon and a space"
    elif "undefined alias" in message:
        hint = "quote a value that begins with *, or define its anchor before it"
    elif "control characters" in message:
        hint = "remove the control character"
    message = f"this is not YAML: {message}" + (f", {context}" if context else "")
    return Problem("yaml-syntax", message, f"{file}:{line}", hint)


class _RefusedError(Exception):
    """Well-formed YAML that is not taken."""

    def __init__(self, code: str, message: str, node: yaml.Node, hint: str) -> None:
        super().__init__(message)
        self.code, self.mark, self.hint = code, node.start_mark, hint


class _Composer(_CParser):
    """libyaml's composer without a resolver, bounded in depth: it recurses in C, where too deep is a crash."""

    _depth = 0

    def resolve(self, kind: Any, _value: str, implicit: Any) -> str:
        """Plain scalars get no tag here: the builder resolves them by the core schema."""
        if kind is yaml.ScalarNode and isinstance(implicit, tuple) and implicit[0]:
            return ""
        return {yaml.ScalarNode: "str", yaml.SequenceNode: "seq", yaml.MappingNode: "map"}[kind]

    def descend_resolver(self, parent: yaml.Node | None, _index: Any) -> None:
        """Called by the parser on its way down."""
        self._depth += 1
        if self._depth > MAX_DEPTH and parent is not None:
            raise _RefusedError(
                "yaml-depth", f"the document is nested deeper than {MAX_DEPTH} levels", parent, "flatten the document"
            )

    def ascend_resolver(self) -> None:
        """Called by the parser on its way up."""
        self._depth -= 1


class _Builder:
    """Turns one document's nodes into plain values."""

    def __init__(self) -> None:
        self.values = 0
        self.aliases = 0
        self.seen: set[int] = set()

    def build(self, node: yaml.Node, depth: int = 0) -> Any:
        self.values += 1
        if id(node) in self.seen:
            self.aliases += 1
        self.seen.add(id(node))
        if self.aliases > MAX_ALIASES or self.values > MAX_VALUES:
            raise _RefusedError(
                "yaml-aliases" if self.aliases else "yaml-size",
                f"the document expands to more than {MAX_ALIASES} aliases or {MAX_VALUES} values",
                node,
                "write the repeated parts out, or part the document",
            )
        if depth > MAX_DEPTH:
            raise _RefusedError("yaml-depth", "an alias holds itself or nests too deep", node, "remove the alias")
        tag = _TAGS.get(node.tag, node.tag)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, tag)
        if isinstance(node, yaml.SequenceNode) and tag == "seq":
            return [self.build(child, depth + 1) for child in node.value]
        if isinstance(node, yaml.MappingNode) and tag == "map":
            return self._mapping(node, depth)
        raise _unknown_tag(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        found: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _RefusedError("yaml-key", "a key must be a plain text", key, "quote the key")
            name = str(key.value)
            value = self.build(child, depth + 1)
            if name == "<<" and key.tag == "":
                parts = cast("list[Any]", value) if isinstance(value, list) else [value]
                for part in parts:
                    if not isinstance(part, dict):
                        raise _RefusedError("yaml-merge", "<< merges mappings only", child, "name a mapping's alias")
                    merged = {**part, **merged}
                continue
            if name in found:
                first = next(k for k, _ in node.value if isinstance(k, yaml.ScalarNode) and k.value == name)
                raise _RefusedError(
                    "yaml-duplicate-key",
                    f"the key {name!r} is given twice",
                    key,
                    f"keep one of them; the first is {key.start_mark.line - first.start_mark.line} lines above",
                )
            found[name] = value
        return {**merged, **found}


def _scalar(node: yaml.ScalarNode, tag: str) -> Any:
    text = str(node.value)
    if tag == "str":
        return text
    if tag == "":
        return plain(text)
    value = plain(text)
    if tag == "null" and value is None:
        return None
    kinds: dict[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "bool": bool}
    if tag in kinds and isinstance(value, kinds[tag]) and (tag == "bool" or not isinstance(value, bool)):
        return float(value) if tag == "float" else value
    if tag in kinds or tag == "null":
        raise _RefusedError("yaml-tag", f"{text!r} is no {tag}", node, "correct the value or drop the tag")
    raise _unknown_tag(node)


def plain(text: str) -> Any:
    """A plain scalar by the core schema: null, true, false, numbers; anything else is a string."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE"}:
        return True
    if text in {"false", "False", "FALSE"}:
        return False
    if len(text) <= 40:
        if _INT.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text):
            return int(text, 0)
        if _HEX.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
        if text.lower() in _SPECIAL:
            return text  # JSON has no infinity: it stays a text, which no number field takes
    return text


def _unknown_tag(node: yaml.Node) -> _RefusedError:
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    return _RefusedError("yaml-tag", f"the tag {tag!r} is not known", node, "quote a value that begins with !")


def _child(node: yaml.Node | None, step: Hashable) -> tuple[yaml.Node, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return value, key.start_mark
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step], node.value[step].start_mark
    return None
