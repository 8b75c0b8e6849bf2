"""What may be published: the zip of a provider, the tar of a module, their names, versions and hashes.

Nothing of an archive is ever written to disk here: it is read within limits, judged, and kept as it came.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
import zipfile
import zlib
from pathlib import PurePosixPath

from uwu.kernel.errors import BadInput

MAX_FILES = 5_000
MAX_UNPACKED_BYTES = 2 * 1024**3
"""What a provider may be once unpacked: the largest there are have some 800 MB."""
MAX_MODULE_UNPACKED_BYTES = 64 * 1_048_576
_PIECE = 1_048_576

_HOST = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?"
_NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,62}[a-zA-Z0-9])?"
_PROVIDER = re.compile(rf"{_HOST}/{_NAME}/{_NAME}")
_MODULE = re.compile(rf"{_NAME}/{_NAME}/[a-z0-9]{{1,64}}")
_VERSION = re.compile(
    r"(?P<core>(?:0|[1-9]\d{0,8})\.(?:0|[1-9]\d{0,8})\.(?:0|[1-9]\d{0,8}))(?:-(?P<pre>[0-9A-Za-z.-]{1,64}))?"
)
_PLATFORM = re.compile(r"[a-z0-9]{1,20}_[a-z0-9]{1,20}")


def _bad(message: str, place: str, hint: str = "", code: str = "package-archive") -> BadInput:
    return BadInput(message, code=code, place=place, hint=hint)


def provider_source(text: str) -> str:
    """``host/namespace/type`` in lower case, as Terraform compares them. Raises ``BadInput`` (``package-name``)."""
    if not _PROVIDER.fullmatch(text.lower()):
        raise _bad(
            "this names no provider", "source", "host/namespace/type, such as registry.terraform.io/hashicorp/aws",
            "package-name",
        )  # fmt: skip
    return text.lower()


def module_source(text: str) -> str:
    """``namespace/name/system``. Raises ``BadInput`` (``package-name``)."""
    if not _MODULE.fullmatch(text):
        raise _bad(
            "this names no module", "source", "namespace/name/system, such as payments/queue/aws", "package-name"
        )
    return text


def version(text: str) -> str:
    """A semantic version (2.0.0, without build metadata), without a leading ``v``. Raises ``BadInput``."""
    if not _VERSION.fullmatch(text):
        raise _bad(f"{text[:40]!r} is no version", "version", "three numbers, such as 1.4.0", "package-version")
    return text


def order(text: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    """What versions are ordered by (Semantic Versioning 2.0.0, section 11)."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return ((-1,), False, ())
    before = found["pre"] or ""
    parts = tuple((not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in before.split(".") if p)
    return tuple(map(int, found["core"].split("."))), not before, parts


def platform(text: str) -> str:
    """``linux_amd64``. Raises ``BadInput``."""
    if not _PLATFORM.fullmatch(text):
        raise _bad(f"{text[:40]!r} is no platform", "platform", "os_arch, such as linux_amd64", "package-platform")
    return text


def _inside(name: str, place: str) -> str:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or "\n" in name or len(name) > 1000:
        raise _bad(f"the archive names {name[:80]!r}, which lies outside of it", place)
    return name


def provider_h1(data: bytes, type_: str, place: str) -> str:
    """The ``h1:`` hash of a provider's zip: over its files' names and SHA-256 (Go's ``dirhash.Hash1``).

    Raises ``BadInput`` where it is no zip, names what lies outside of it, is too large, or holds no program
    ``terraform-provider-<type>``.
    """
    lines: list[str] = []
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            files = [info for info in packed.infolist() if not info.is_dir()]
            if len(files) > MAX_FILES:
                raise _bad(f"the archive holds more than {MAX_FILES:,} files", place)
            names = [_inside(info.filename, place) for info in files]
            if len(set(names)) != len(names):
                raise _bad("the archive names a file twice", place)
            if not any(name.startswith(f"terraform-provider-{type_}") for name in names):
                raise _bad(
                    f"the archive holds no program terraform-provider-{type_}_v...",
                    place,
                    "pack it at the top of the zip",
                )
            for info in sorted(files, key=lambda each: each.filename.encode()):
                found = hashlib.sha256()
                with packed.open(info) as file:
                    while piece := file.read(_PIECE):
                        total += len(piece)
                        if total > MAX_UNPACKED_BYTES:
                            raise _bad("the archive is too large once it is unpacked", place)
                        found.update(piece)
                lines.append(f"{found.hexdigest()}  {info.filename}\n")
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise _bad(f"this is no zip that can be read: {error}", place) from None
    return "h1:" + base64.b64encode(hashlib.sha256("".join(lines).encode()).digest()).decode()


def module_files(data: bytes, place: str) -> dict[str, bytes]:
    """The files at the top of a module's tar (gzip), by name.

    Raises ``BadInput`` where it is none, names what lies outside of it, is too large, holds what is no file or folder,
    or no ``.tf`` file at its top.
    """
    held: dict[str, bytes] = {}
    total = count = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r|gz") as packed:
            for member in packed:
                count += 1
                total += member.size
                if count > MAX_FILES or total > MAX_MODULE_UNPACKED_BYTES:
                    raise _bad("the archive is too large once it is unpacked", place)
                name = _inside(member.name, place).removeprefix("./")
                if not (member.isfile() or member.isdir()):
                    raise _bad(
                        f"the archive holds a link or a device: {name[:80]!r}", place, "pack files and folders only"
                    )
                file = packed.extractfile(member) if member.isfile() and "/" not in name else None
                if file is not None and member.size <= _PIECE:
                    held[name] = file.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise _bad(f"this is no tar.gz that can be read: {error}", place) from None
    if not any(name.endswith((".tf", ".tf.json")) for name in held):
        raise _bad("the archive holds no .tf file at its top", place, "pack the module's folder itself, not its parent")
    return held
