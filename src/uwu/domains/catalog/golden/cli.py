"""``uwu catalog new``: begin a service with all that is asked of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from uwu.domains.catalog.golden import make
from uwu.kernel import codec
from uwu.kernel.domain import Answer
from uwu.kernel.errors import BadInput

APP = App(name="new", help="Make a folder that the catalog takes, from a template.")


@APP.command
def service(
    name: str,
    *,
    owner: str = "",
    into: Path | None = None,
    description: str = "",
    system: str = "",
    tier: str = "",
    repository: str = "",
    answer: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    template: str = "",
    dry_run: bool = False,
) -> Answer:
    """Make the folder of a new service: its entities, docs, a runbook, an API and CODEOWNERS.

    It passes "uwu catalog validate" and every check of the shipped scorecard that looks at what is declared. Nothing is
    written over.

    Parameters
    ----------
    name
        The service's name: lower-case letters, digits and dashes.
    owner
        The team that owns it, as its Group is named.
    into
        The folder to make; ./NAME where it is left out.
    description
        What it does, in a sentence.
    system
        The System that it is part of; one of its own name where it is left out.
    tier
        How much depends on it, 1 (the most) to 4.
    repository
        The web address of its repository: with it the runbook is linked, which a scorecard asks for.
    answer
        Another answer that the template asks for: --set lifecycle=production.
    template
        A template of copier: a folder, or an address that git clone takes. The shipped one where it is left out.
    dry_run
        Only tell what would be made.
    """
    given = {"owner": owner, "description": description, "system": system, "tier": tier, "repository": repository}
    answers: dict[str, object] = {"name": name, **{key: value for key, value in given.items() if value}}
    for each in answer or ():
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise BadInput(f"{each!r} is no answer", code="answer-invalid", place="--set", hint="--set NAME=VALUE")
        answers[key] = value
    made = make.make(template or str(make.SERVICE), into or Path(name), answers, dry_run=dry_run)
    lines = [f"{'would make' if dry_run else 'made'} {made.folder}", *(f"  {file}" for file in made.files)]
    lines += [str(problem) for problem in made.problems if problem.code != make.ELSEWHERE]
    outside = sorted({problem.message.partition(" names ")[2].partition(",")[0] for problem in made.problems} - {""})
    if outside:
        lines.append(f"It names what the estate has to declare: {', '.join(outside)}")
    if not dry_run:
        lines.append("Next: commit it, and name its catalog-info.yaml in a Location of the estate.")
    return Answer(codec.builtins(made), "\n".join(lines))
