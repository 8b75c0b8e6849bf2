"""The kernel's sentences with their links: the words stay the kernel's own, so that page and terminal agree."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uwu.app.console import links, look, words
from uwu.app.console.mapping import Names, is_command
from uwu.app.console.views import Part, Proof, Said
from uwu.kernel import explain
from uwu.kernel.explain import Sentence, Source, Story
from uwu.kernel.model import Change

_TIMED = frozenset({"happened"})


def known(story: Story) -> dict[str, Part]:
    """Each name that may stand in the sentences of ``story`` -> how it is shown."""
    found: dict[str, Part] = {}
    for finding in (told.finding for told in story.findings):
        if finding.path:
            found[finding.path] = Part(text=finding.path, kind="code")
    for declaration in story.declarations:
        found[declaration.address] = Part(text=declaration.address, kind="code")
        source = declaration.source
        found[source] = Part(text=source, kind="link", href=links.entity(source))
    causes = [told.finding.cause for told in story.findings if told.finding.cause is not None]
    for change in [*story.changes, *causes]:
        found |= _actor(change)
    if story.ownership is not None and story.ownership.owner:
        short = words.short_ref(story.ownership.owner)
        found[f"Owned by {short}"] = Part(text=short, kind="link", href=links.entity(story.ownership.owner))
    return found


def _actor(change: Change) -> dict[str, Part]:
    name = explain.who(change)
    href = links.with_query(links.CHANGES, {"actor": change.actor.name, "days": "90"})
    return {name: Part(text=name, kind="link", href=href)} if change.actor.name else {}


def parts(text: str, known: Mapping[str, Part]) -> list[Part]:
    """``text`` cut at the names of ``known`` and at backticks. A name counts only as a whole word."""
    keys = sorted(known, key=len, reverse=True)
    names = "|".join(rf"(?<![\w/.-]){re.escape(k)}(?![\w/-])" for k in keys)
    out: list[Part] = []
    for piece in re.split(f"(`[^`]+`{'|' + names if names else ''})", text):
        if not piece:
            continue
        if piece in known:
            part = known[piece]
            before = piece[: -len(part.text)] if piece.endswith(part.text) else ""
            if before:
                out.append(Part(text=before))
            out.append(part)
        elif piece.startswith("`") and piece.endswith("`") and len(piece) > 2:
            out.append(Part(text=piece[1:-1], kind="code"))
        else:
            out.append(Part(text=piece))
    return out


def said(sentence: Sentence, story: Story, names: Names, known: Mapping[str, Part]) -> Said:
    """One sentence of the kernel as the page shows it."""
    text = sentence.text
    if sentence.about == "fix":
        shown = [Part(text="Fix:", kind="lead")]
        if is_command(text):
            return Said(icon=look.ABOUT["fix"], parts=[*shown, Part(text=" run")], command=text)
        if "\n" in text:
            return Said(icon=look.ABOUT["fix"], parts=[*shown, Part(text=" declare it")], command=text)
        return Said(icon=look.ABOUT["fix"], parts=[*shown, Part(text=" "), *parts(text, known)])
    if sentence.about in _TIMED and sentence.at is not None and text.endswith("."):
        text = f"{text[:-1]} {words.moment(sentence.at)}."
    proofs = _distinct(sentence.sources, story, names)
    if sentence.about == "observed" and sentence.at is not None:
        proofs = [Proof(icon=p.icon, label=f"{p.label}, {words.age(sentence.at)} ago", href=p.href) for p in proofs]
    return Said(icon=look.ABOUT.get(sentence.about, "info"), parts=parts(text, known), proofs=proofs)


def _distinct(sources: list[Source], story: Story, names: Names) -> list[Proof]:
    """One proof of each kind of evidence, and of each place: four resources of one state prove the same thing once."""
    seen: dict[str, Source] = {}
    for source in sources:
        seen.setdefault(source.key if source.kind == "evidence" else source.label, source)
    return [proof(source, story, names) for source in seen.values()]


def proof(source: Source, story: Story, names: Names) -> Proof:
    """Where a claim comes from, with a link to where it can be seen."""
    icon = look.SOURCE.get(source.kind, "info")
    if source.kind == "event":
        href = links.with_query(links.CHANGES, {"subject": story.subject, "days": "90"})
        return Proof(icon=icon, label=f"{source.label} {source.key[:8]}", href=f"{href}#{source.key}")
    if source.kind == "coverage":
        name, _, rest = source.key.partition("/")
        account = rest.partition("/")[0]
        label = f"{name.upper() if len(name) <= 3 else name}, {names.account(account)}" if account else name
        return Proof(icon=icon, label=label, href=links.with_query(links.COVERAGE, {"account": account}))
    if source.kind == "state":
        declared = next((d for d in story.declarations if source.key in (d.id, d.place)), None)
        return Proof(icon=icon, label=source.label, href=links.entity(declared.source) if declared else "")
    if source.kind == "evidence":
        return Proof(icon=icon, label=source.label, href="#owner" if story.ownership is not None else "")
    return Proof(icon=icon, label=source.label)


def story_of(story: Story, names: Names) -> list[Said]:
    """The whole in at most five sentences."""
    names_known = known(story)
    return [said(sentence, story, names, names_known) for sentence in story.sentences]
