"""Brings the console's third-party files from pinned npm packages and builds the icon sprite.

The result is checked in, so that users need no node. ``python tools/assets.py`` downloads and writes;
``--check`` needs no network and says whether the checked-in files are those of the manifest.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSOLE = ROOT / "src/uwu/app/console"
STATIC = CONSOLE / "static"
MANIFEST = STATIC / "vendor.json"

PACKAGES: dict[str, dict[str, Any]] = {
    "htmx.org": {
        "version": "2.0.11",
        "license": "0BSD",
        "integrity": "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
        "files": {"dist/htmx.min.js": "vendor/htmx.js", "LICENSE": "vendor/LICENSE-htmx.txt"},
    },
    "idiomorph": {
        "version": "0.8.0",
        "license": "0BSD",
        "integrity": "sha512-R47JBL+6jHDQvcnbppIUtXXcxi5h6+wuCEEZXnRhUltsgzPFKzThL5PuHppP9ypJuy+7WawcY1TsSBD/iQbMhw==",
        "files": {"dist/idiomorph-ext.min.js": "vendor/idiomorph.js", "LICENSE": "vendor/LICENSE-idiomorph.txt"},
    },
    "cytoscape": {
        "version": "3.34.4",
        "license": "MIT",
        "integrity": "sha512-msY99tMY8iWTg+sIPGfSqDcPNOt4xcj+v/K/7qUFaCUxxlqnMkUYLBjRUzn9W5CU/R2hrmtJa5+UtovrEM2ctg==",
        "files": {"dist/cytoscape.min.js": "vendor/cytoscape.js", "LICENSE": "vendor/LICENSE-cytoscape.txt"},
    },
    "lucide-static": {
        "version": "1.62.0",
        "license": "ISC",
        "integrity": "sha512-WBZA/m2PvkFpMGHDtsBck5P2A9G4ehLlYu4GwwICcmEm1BvYVgj00lCDxKRWLlbMlOibLaiwdQ88G5pHkSWgwA==",
        "files": {"LICENSE": "vendor/LICENSE-lucide.txt"},
    },
}
SPRITE = "icons.svg"
_USED = re.compile(r"""\bicon\(\s*["']([a-z0-9-]+)["']|\bicon=["']([a-z0-9-]+)["']|data-icon=["']([a-z0-9-]+)["']""")


def icons_used() -> set[str]:
    """The lucide icons that templates, the console's code and the types of the installed domains name."""
    sys.path.insert(0, str(ROOT / "src"))
    from uwu.app.console import look, places
    from uwu.kernel import domain

    used = {*look.ICONS, *places.ICONS} | {type.icon for each in domain.installed() for type in each.types}
    for path in sorted([*(CONSOLE / "templates").rglob("*.html"), *CONSOLE.glob("*.py")]):
        for match in _USED.finditer(path.read_text("utf-8")):
            used.add(next(group for group in match.groups() if group))
    return used


def fetch(name: str, package: dict[str, Any], folder: Path) -> Path:
    """The unpacked package. Raises ``SystemExit`` where the registry's file is not the pinned one."""
    argv = ["npm", "pack", "--silent", "--ignore-scripts", f"{name}@{package['version']}"]
    done = subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
    archive = folder / done.stdout.strip().splitlines()[-1]
    got = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if got != package["integrity"]:
        raise SystemExit(f"{name} {package['version']} is not the pinned file: {got}")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / name, filter="data")
    return folder / name / "package"


def sprite(package: Path, names: set[str]) -> str:
    """One SVG with a symbol ``i-<name>`` for each icon. Raises ``SystemExit`` for a name that lucide lacks."""
    symbols: list[str] = []
    for name in sorted(names):
        path = package / "icons" / f"{name}.svg"
        if not path.exists():
            raise SystemExit(f"lucide has no icon {name!r}")
        svg = path.read_text("utf-8")
        inner = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
        body = re.sub(r"\s*\n\s*", "", inner).replace(" />", "/>")
        symbols.append(f'<symbol id="i-{name}" viewBox="0 0 24 24">{body}</symbol>')
    head = '<svg xmlns="http://www.w3.org/2000/svg"><!-- Lucide icons, ISC licence: vendor/LICENSE-lucide.txt -->'
    return head + "\n" + "\n".join(symbols) + "\n</svg>\n"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write() -> None:
    """Downloads the pinned packages and writes the files, the sprite and the manifest."""
    entries: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for name, package in PACKAGES.items():
            unpacked = fetch(name, package, Path(temporary))
            files: dict[str, str] = {}
            for source, target in package["files"].items():
                path = STATIC / target
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes((unpacked / source).read_bytes())
                files[target] = sha256(path)
            if name == "lucide-static":
                (STATIC / SPRITE).write_text(sprite(unpacked, icons_used()), "utf-8")
                files[SPRITE] = sha256(STATIC / SPRITE)
            entries.append(
                {**{k: package[k] for k in ("version", "license", "integrity")}, "name": name, "files": files}
            )
    MANIFEST.write_text(json.dumps({"packages": entries}, indent=2, sort_keys=True) + "\n", "utf-8")


def check() -> list[str]:
    """What is not as the manifest says; empty where all is well."""
    wrong: list[str] = []
    for package in json.loads(MANIFEST.read_text("utf-8"))["packages"]:
        pinned = PACKAGES.get(package["name"])
        if pinned is None or pinned["version"] != package["version"]:
            wrong.append(f"{package['name']} {package['version']} is not what tools/assets.py pins")
        for file, digest in package["files"].items():
            path = STATIC / file
            if not path.exists():
                wrong.append(f"{file} is missing")
            elif sha256(path) != digest:
                wrong.append(f"{file} was changed by hand")
    drawn = set(re.findall(r'<symbol id="i-([a-z0-9-]+)"', (STATIC / SPRITE).read_text("utf-8")))
    wrong += [f"the icon {name!r} is not in {SPRITE}" for name in sorted(icons_used() - drawn)]
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the checked-in files are right")
    if parser.parse_args().check:
        wrong = check()
        if wrong:
            raise SystemExit("\n".join([*wrong, "run: python tools/assets.py"]))
        return
    write()


if __name__ == "__main__":
    main()
