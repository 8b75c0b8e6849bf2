"""``python -m bench NAME [--quick]``: measures, prints, exits 1 where a bar fails."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

SUBJECTS = sorted(
    p.stem
    for p in (*Path(__file__).parent.glob("*.py"), *Path(__file__).parent.glob("[a-z]*/"))
    if p.stem not in {"__init__", "__main__", "harness", "world_at_scale"}
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures a subject against its bars.")
    parser.add_argument("name", choices=SUBJECTS)
    parser.add_argument("--quick", action="store_true", help="a shorter run, within 45 seconds")
    given = parser.parse_args()
    report = importlib.import_module(f"bench.{given.name}").run(quick=given.quick)
    return report.show()


if __name__ == "__main__":
    sys.exit(main())
