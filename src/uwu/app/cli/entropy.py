"""``uwu entropy``: the number of each scope, its trend, and what it is made of."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import BadInput

Here = Annotated[Client, Parameter(parse=False)]
TITLES = {"owner": "By team", "service": "By service", "account": "By account", "domain": "By domain"}
_BARS = "▁▂▃▄▅▆▇█"


def entropy(
    *,
    team: str | None = None,
    service: str | None = None,
    account: str | None = None,
    domain: str | None = None,
    rows: bool = False,
    limit: int = 20,
    client: Here,
) -> Answer:
    """Measure the distance between what is declared and what is observed: 0 as declared, 100 chaos.

    Parameters
    ----------
    team
        Of one owner: group:default/payments, or its plain name; '' for what nobody owns.
    service
        Of one component or system: component:default/checkout, or its plain name.
    account
        Of one account, by its number or its name.
    domain
        Of the findings of one domain.
    rows
        List what the number is made of, the largest share first.
    limit
        How many rows at most, up to 500.
    """
    asked = {"owner": team, "service": service, "account": account, "domain": domain}
    given = [(scope, key) for scope, key in asked.items() if key is not None]
    if len(given) > 1:
        raise BadInput("one scope at a time", code="usage", hint="--team, --service, --account or --domain")
    scores = client.get("/entropy")
    if not scores:
        return Answer(scores, "Nothing is known yet. Run: uwu sync")
    accounts = client.get("/resources", type="aws_account", limit=500)["items"]
    names = {a["account"]: a["name"] for a in accounts}
    if not given and not rows:
        return _all(scores, names)
    scope, key = given[0] if given else ("all", "")
    score = _score(scores, scope, key, names)
    return _rows(client, score, names, limit) if rows else _one(client, score, names)


def _score(scores: list[dict[str, Any]], scope: str, key: str, names: dict[str, str]) -> dict[str, Any]:
    """The scope that is meant: by its key, or by its plain name where only one has it."""
    held = [s for s in scores if s["scope"] == scope]
    for found in (
        [s for s in held if s["key"].lower() == key.lower()],
        [s for s in held if key and _name(s, names).lower() == key.lower()],
    ):
        if len(found) == 1:
            return found[0]
    raise BadInput(
        f"there is no {'team' if scope == 'owner' else scope} {key!r}",
        code="scope-unknown",
        hint="uwu entropy lists all",
    )


def _all(scores: list[dict[str, Any]], names: dict[str, str]) -> Answer:
    parts: list[Any] = []
    whole = next((s for s in scores if s["scope"] == "all"), None)
    if whole is not None:
        parts.append(_head(whole, "everything"))
    for scope, title in TITLES.items():
        lines = [
            (f"{s['entropy']:.1f}", _name(s, names), str(s["findings"]), str(s["subjects"]))
            for s in scores
            if s["scope"] == scope and (s["findings"] or s["unseen"])
        ]
        if lines:
            columns = ("entropy", "team" if scope == "owner" else scope, "findings", "subjects")
            shown = look.table(columns, lines[:10], numbers=("entropy", "findings", "subjects"))
            parts += [Text(), Text(title, style="bold"), shown]
            if len(lines) > 10:
                parts.append(Text(f"and {len(lines) - 10} more; --json lists all", style="dim"))
    return Answer(scores, look.render(*parts))


def _head(score: dict[str, Any], of: str) -> Text:
    told = [f"{score['findings']} findings", f"{score['subjects']} subjects"]
    told += [f"{score[key]} {key}" for key in ("stale", "unowned", "unseen") if score[key]]
    return Text.assemble((f"{score['entropy']:.1f}", "bold"), f" of 100, {of}", ("  " + ", ".join(told), "dim"))


def _one(client: Client, score: dict[str, Any], names: dict[str, str]) -> Answer:
    days = client.get("/entropy/history", of=score["scope"], key=score["key"])
    parts = [_head(score, _name(score, names))]
    line = _sparkline([day["entropy"] for day in days])
    if line:
        measured = [day for day in days if day["entropy"] is not None]
        since = f"from {measured[0]['entropy']:.1f} on {measured[0]['day']}"
        parts.append(Text.assemble(line, (f"  {since}", "dim")))
    return Answer({"score": score, "days": days}, look.render(*parts))


def _sparkline(values: list[float | None]) -> str:
    """A block a day; a span of less than three points stays flat, and a day without a number is blank."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, span = min(known), max(max(known) - min(known), 3.0)
    return "".join(" " if v is None else _BARS[round((v - low) / span * (len(_BARS) - 1))] for v in values)


def _rows(client: Client, score: dict[str, Any], names: dict[str, str], limit: int) -> Answer:
    page = client.get(f"/entropy/{quote(score['scope'])}", key=score["key"], limit=limit)
    lines = [
        (
            f"{row['share']:.4f}",
            Text(row["severity"] if row["kind"] == "finding" else "unseen", style=look.SEVERITY_STYLE[row["severity"]]),
            Text(row["title"] if row["kind"] == "finding" else f"{row['id']} {row['title']}"),
            look.age(row["since"]),
            Text(row["id"] if row["kind"] == "finding" else "", style="dim"),
        )
        for row in page["items"]
    ]
    parts: list[Any] = [_head(score, _name(score, names))]
    if lines:
        parts += [Text(), look.table(("share", "severity", "what", "age", "id"), lines, numbers=("share", "age"))]
        rest = page["total"] - len(lines)
        left = f", of which {rest} more rows are not shown" if rest else ""
        parts.append(Text(f"{page['total']} rows sum to {page['exact']:.4f}{left}", style="dim"))
    return Answer(page, look.render(*parts))


def _name(score: dict[str, Any], names: dict[str, str]) -> str:
    key: str = score["key"]
    if score["scope"] == "all":
        return "everything"
    if score["scope"] == "account":
        return names.get(key) or key or "no account"
    return key.rpartition("/")[2] or "nobody"
