"""Where rules come from: uwu's own, folders that the settings name, and Detection entities of the estate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from uwu.domains.trail.detect import python
from uwu.domains.trail.detect.model import Detection
from uwu.kernel import codec, declared
from uwu.kernel.errors import BadInput, NotFound, Problem
from uwu.kernel.model import Entity
from uwu.kernel.rulebook import judges
from uwu.kernel.runtime import Kernel
from uwu.kernel.schema import Violation, near

OWN, ESTATE = "uwu", "estate"
MOST_FILES = 5_000
"""Of one folder: SigmaHQ's whole repository has some 4,000."""


@dataclass(frozen=True)
class Loaded:
    """The rules there are, by id, and what is wrong with those that are not."""

    rules: dict[str, Detection]
    problems: tuple[Problem, ...]

    def of(self, id: str) -> Detection:
        """The rule ``id``, also without its prefix. Raises ``NotFound``."""
        found = self.rules.get(id) or self.rules.get(f"trail.{id}")
        if found is None:
            hint = f"{near(id, list(self.rules))} uwu trail rules lists them".lstrip()
            raise NotFound(f"there is no detection {id[:100]!r}", code="rule-unknown", hint=hint)
        return found


def loaded(kernel: Kernel) -> Loaded:
    """Every rule, whether it runs or not. A file that cannot be read costs only itself."""
    values = tuple(sorted((name, tuple(given)) for name, given in kernel.settings.detect.placeholders.items()))
    rules: dict[str, Detection] = {}
    problems: list[Problem] = []

    def take(read: Callable[[], tuple[Detection, ...]]) -> None:
        try:
            for rule in read():
                if rule.id in rules:
                    raise BadInput(
                        f"the rule {rule.id} is there already, from {rules[rule.id].place}",
                        code="rule-twice",
                        place=rule.place,
                        hint="give it another id or name",
                    )
                rules[rule.id] = rule
        except BadInput as error:
            problems.append(error.problem)

    for name, text in _own():
        take(lambda name=name, text=text: _parsed(text, name, OWN, name, ()))
    for place in kernel.settings.detect.rules:
        folder = Path(place).expanduser()
        folder = folder if folder.is_absolute() else kernel.settings.home_path / folder
        for path in _files(folder, problems):
            try:
                text = path.read_text()
            except (OSError, UnicodeDecodeError) as error:
                problems.append(Problem("rule-file", f"the rule cannot be read: {error}", str(path)))
                continue
            take(lambda path=path, text=text, of=str(folder): _parsed(text, path.name, of, str(path), values))
    with kernel.db.read() as connection:
        entities = declared.entities(connection, kind="Detection", orphan=False)
    for entity in entities:
        text = codec.canonical(_as_sigma(entity)).decode()
        take(lambda entity=entity, text=text: _parsed(text, "x.yml", ESTATE, str(entity.place), values))
    return Loaded(rules, tuple(problems))


def running(kernel: Kernel) -> list[Detection]:
    """The rules that the settings let run."""
    return [rule for id, rule in loaded(kernel).rules.items() if judges(kernel.settings.rules, id)]


@lru_cache(maxsize=10_000)
def _parsed(text: str, name: str, source: str, place: str, values: Any) -> tuple[Detection, ...]:
    if name.endswith(".py"):
        return tuple(python.read(text, source=source, place=place))
    from uwu.domains.trail.detect import sigma

    return tuple(sigma.read(text, source=source, place=place, values=dict(values)))


@lru_cache(maxsize=1)
def _own() -> tuple[tuple[str, str], ...]:
    folder = resources.files("uwu.domains.trail.detect") / "rules"
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith((".yml", ".py")))
    return tuple((name, (folder / name).read_text()) for name in names)


def _files(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    if folder.is_file():
        yield folder
        return
    if not folder.is_dir():
        hint = "see [detect] rules in the settings"
        problems.append(Problem("rule-folder", f"there is no {folder}", str(folder), hint))
        return
    paths = sorted(path for path in folder.rglob("*") if path.suffix in {".yml", ".yaml", ".py"} and path.is_file())
    if len(paths) > MOST_FILES:
        problems.append(
            Problem("rule-folder", f"{len(paths)} files: only the first {MOST_FILES} are read", str(folder))
        )
    yield from paths[:MOST_FILES]


def _as_sigma(entity: Entity) -> dict[str, Any]:
    """The Sigma rule that a Detection entity holds, under the entity's name."""
    rule = dict(entity.spec.get("sigma") or {})
    own = dict(rule.get("uwu") or {})
    own.setdefault("name", entity.name)
    for key in ("subject", "remedy"):
        if entity.spec.get(key):
            own[key] = entity.spec[key]
    rule["uwu"] = own
    rule.setdefault("title", entity.metadata.get("title") or entity.name)
    rule.setdefault("description", entity.metadata.get("description") or "")
    return rule


def check_entity(spec: dict[str, Any]) -> Iterator[Violation]:
    """What the schema of a Detection cannot say: whether pySigma reads its rule."""
    from uwu.domains.trail.detect import sigma

    rule = spec.get("sigma")
    if not isinstance(rule, dict):
        return
    try:
        sigma.read(codec.canonical({"title": "rule", **rule}).decode(), source=ESTATE, place="")
    except BadInput as error:
        yield Violation(("sigma",), error.problem.message, error.problem.hint)
