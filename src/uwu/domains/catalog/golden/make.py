"""Making a folder from a template of copier: checked before anything is written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from uwu.domains.catalog import authoring
from uwu.kernel.errors import BadInput, Problem, UwuError

SERVICE = Path(__file__).parent / "service"
"""The template of a service that is shipped."""
ELSEWHERE = "dangling-reference"
"""What it names and does not declare: the team is declared elsewhere in the estate."""
_GIT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=15",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "30",
}
"""What keeps git from asking and from waiting: below 1,000 bytes a second for 30 seconds it gives up."""


class Made(msgspec.Struct, frozen=True):
    """A folder that was made, or would be."""

    folder: str
    files: list[str]
    """Relative to it, sorted."""
    problems: list[Problem]
    """Warnings, and what it names that is declared elsewhere, if at all."""


def make(template: str, folder: Path, answers: Mapping[str, object], *, dry_run: bool = False) -> Made:
    """Makes ``folder`` from a template: a path, or an address that git can clone.

    It is made elsewhere, checked as the estate is, and only then put in its place: nothing is left half made.

    Raises ``BadInput`` where the folder holds something, an answer is refused or missing, the template cannot be read,
    wants to run programs, or makes what the catalog would refuse.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(
            f"{folder} holds something already",
            code="folder-not-empty",
            place=str(folder),
            hint="name another with --into; copier update renews a folder that was made from a template",
        )
    with tempfile.TemporaryDirectory(prefix="uwu-new-") as held:
        made = Path(held) / "made"
        _copy(template, made, answers)
        files = sorted(str(file.relative_to(made)) for file in made.rglob("*") if file.is_file())
        problems = _checked(made, folder)
        if not dry_run:
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(made, folder, symlinks=True, dirs_exist_ok=True)
    return Made(str(folder), files, problems)


def _copy(template: str, made: Path, answers: Mapping[str, object]) -> None:
    import copier  # it takes a third of a second
    from copier.errors import CopierError, UnsafeTemplateError

    try:
        with _environment(_GIT):
            copier.run_copy(template, made, data=dict(answers), defaults=True, quiet=True, unsafe=False)
    except UnsafeTemplateError as error:
        raise BadInput(
            f"the template wants to run programs of its own: {error}",
            code="template-unsafe",
            place=template,
            hint="use a template without tasks, migrations and extensions, or run copier yourself",
        ) from error
    except (CopierError, ValueError) as error:
        shipped = template == str(SERVICE)
        raise BadInput(
            _said(error),
            code="template-refused",
            place="" if shipped else template,
            hint="uwu catalog new service --help" if shipped else "its copier.yml says what it asks: --set NAME=VALUE",
        ) from error
    except Exception as error:
        if isinstance(error, UwuError):
            raise
        raise BadInput(
            f"the template cannot be read: {_said(error)}",
            code="template-unreadable",
            place=template,
            hint="give a folder with a copier.yml, or an address that git clone takes",
        ) from error


def _said(error: BaseException) -> str:
    """The last line that tells something, without what git or the stack put before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]


@contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in given}
    os.environ.update({name: value for name, value in given.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def _checked(made: Path, folder: Path) -> list[Problem]:
    problems = [
        msgspec.structs.replace(one, place=one.place.replace(str(made), str(folder)))
        for one in authoring.load(made).problems
    ]
    errors = [one for one in problems if one.severity == "error" and one.code != ELSEWHERE]
    if errors:
        raise BadInput(
            f"the catalog would refuse what the template makes: {errors[0].message}",
            code="template-invalid",
            place=errors[0].place,
            hint=errors[0].hint,
        )
    return problems
