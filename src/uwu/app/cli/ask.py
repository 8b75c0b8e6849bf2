"""Commands that ask: explain, findings, query, status."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any, Literal
from urllib.parse import quote

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel.domain import Answer, Client

Here = Annotated[Client, Parameter(parse=False)]
NAMES_SHOWN = 6
DIFFERS = " is not as declared"


def explain(subject: str, *, at: str | None = None, client: Here) -> Answer:
    """Tell the whole story of a resource or an entity.

    Parameters
    ----------
    subject
        An ARN, an id such as sg-0b3f9a41d27c8e650, a name, a state address, a finding, or kind:namespace/name.
    at
        As it was at a past time: 2026-11-20T09:12:00Z, 2026-11-20, or so long ago: 3h, 2d.
    """
    story = client.get("/explain", subject=subject, at=at)
    parts: list[Any] = [_headline(story), Text(story["subject"], style="dim"), Text()]
    if story["at"]:
        parts[1] = Text.assemble((story["subject"], "dim"), f"  as of {look.when(story['at'])}")
    for sentence in story["sentences"]:
        parts += _sentence(sentence)
    findings = story["findings"]
    if findings:
        parts += [Text(), Text(f"Findings ({len(findings)})", style="bold")]
        for told in findings:
            parts += _finding(told["finding"])
    if story["changes"]:
        parts += [Text(), Text("Changes", style="bold"), _changes(story["changes"])]
    owned = story["ownership"]
    if owned and owned["conflicts"]:
        parts += [Text(), Text("Others say", style="bold")]
        parts += [Text(f"  {look.owner(c['owner'])} by {c['source']}") for c in owned["conflicts"]]
    if story["relations"]:
        parts += [Text(), Text("Relations", style="bold"), *_relations(story["subject"], story["relations"])]
    if story["owns"]:
        name = story["entity"]["metadata"]["name"]
        parts += [Text(), Text(f"Owns {story['owns']} resources. What is wrong with them: uwu findings --owner {name}")]
    covered = story["coverage"]
    if covered:
        note = f"Last observed completely {look.ago(covered['complete_at'])}"
        if covered["status"] != "complete":
            note += f"; the last try was {covered['status']} ({covered['code'] or covered['message']})"
        if story["resource"]:
            note += f"; version {story['resource']['version']}, first seen {look.ago(story['resource']['first_seen'])}"
        parts += [Text(), Text(note, style="dim")]
    return Answer(story, look.render(*parts))


def _changes(changes: list[dict[str, Any]]) -> Table:
    columns = ["when", "who", "what", "through"]
    rows = [
        [
            look.when(c["at"]),
            Text(c["actor"]["name"] or "unknown", style="" if c["actor"]["kind"] == "human" else "dim"),
            c["name"],
            c["through"],
        ]
        for c in changes
    ]
    with_events = look.table(
        [*columns, "event"], [[*row, c["event_id"]] for row, c in zip(rows, changes, strict=True)], whole=columns
    )
    if look.fits(with_events):
        return with_events
    # who reads a narrow terminal wants the person first; the event is one --json away
    return look.table(columns, rows, whole=("when", "what", "through"), cut=("who",))


def _relations(subject: str, relations: list[dict[str, Any]]) -> list[Text]:
    """What it is tied to, one line for each kind: first its own relations, then what points at it."""
    kinds: dict[str, list[str]] = {}
    entity = any(r["source"] == subject for r in relations) and not subject.startswith(("arn:", "urn:"))
    for relation in sorted(relations, key=lambda r: r["source"] != subject):
        if relation["source"] == subject:
            kinds.setdefault(relation["kind"], []).append(look.inner(relation["target"]))
        elif not entity:  # an entity's relations are held both ways
            kinds.setdefault(f"{relation['kind']} of", []).append(look.inner(relation["source"]))
    wide = max(map(len, kinds), default=0)
    lines: list[Text] = []
    for kind, names in kinds.items():
        rest = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        lines += look.hang(Text(f"  {kind:<{wide}}  ", style="dim"), Text(", ".join(names[:NAMES_SHOWN]) + rest))
    return lines


def _headline(story: dict[str, Any]) -> Text:
    text = Text.assemble((story["title"], "bold"), f"  {story['type_title']}")
    about = story["entity"]["metadata"].get("description") if story["entity"] else ""
    if about:
        text.append(f"  {about}", style="dim")
    where = [story["account_name"] or story["account"], story["region"]]
    text.append("  " + " ".join(part for part in where if part), style="dim")
    if not story["exists"] and story["entity"] is None:
        text.append("  gone" if not story["at"] else "  not there", style="red")
    return text


def _sentence(sentence: dict[str, Any]) -> list[Text]:
    about = sentence["about"]
    lead = Text(f"{about:>9}  ", style="dim")
    if about == "fix":
        return _pasted(lead, sentence["text"], "bold cyan")
    at = [look.when(sentence["at"])] if sentence.get("at") else []
    marks = [source["label"] for source in sentence["sources"] if source["label"] not in sentence["text"]]
    return look.hang(lead, Text(sentence["text"]), "  ".join([*at, *marks[:3]]))


def _finding(finding: dict[str, Any]) -> list[Text]:
    lines = look.hang(
        Text.assemble("  ", look.severity(finding["severity"]), "  "),
        Text(finding["title"]),
        f"{finding['status']} {look.age(finding['opened_at'])}  {finding['id']}",
    )
    if finding["path"]:
        lines += look.hang(_label("declared"), Text(look.value(finding["declared"], limit=1000), style="blue"))
        lines += look.hang(_label("observed"), Text(look.value(finding["observed"], limit=1000), style="yellow"))
    cause = finding["cause"]
    if cause:
        actor = cause["actor"]
        chain = " > ".join(map(look.short, actor["chain"]))
        how = f"{actor['how']}: {chain}" if actor["how"] and chain and chain != actor["name"] else actor["how"] or chain
        by = Text.assemble((actor["name"] or "unknown", "bold"), f", {cause['name']} {look.when(cause['at'])}")
        lines += look.hang(_label("by"), by, f"known by {how}" if how else "")
    if finding["remedy"]:
        lines += _pasted(_label("fix"), finding["remedy"], "cyan")
    return lines


def _pasted(lead: Text, text: str, style: str) -> list[Text]:
    """What is there to be pasted: never wrapped, its own lines below each other."""
    return [
        Text.assemble(" " * lead.cell_len if i else lead, (line, style)) for i, line in enumerate(text.splitlines())
    ]


def _label(name: str) -> Text:
    return Text(f"    {name:<8}  ", style="dim")


def findings(
    id: str | None = None,
    *,
    status: Literal["unresolved", "open", "stale", "closed", "exempt", "all"] = "unresolved",
    severity: Literal["critical", "high", "medium", "low"] | None = None,
    rule: str | None = None,
    owner: str | None = None,
    account: str | None = None,
    type: str | None = None,
    actor: str | None = None,
    text: str | None = None,
    at: str | None = None,
    limit: int = 100,
    client: Here,
) -> Answer:
    """List what is not as it should be, the worst first; with an id, show one finding.

    Parameters
    ----------
    id
        A finding, such as f_3b1c9e0a7d52f481.
    status
        Unresolved ones are open or stale (their source has not been observed lately).
    severity
        Only those of one severity.
    account
        Those in one account, by its twelve digits.
    type
        Those of one type of resource, such as aws_s3_bucket.
    text
        Those whose title or subject holds this text.
    owner
        Findings of one owner: a group's name or reference; "nobody" for those without owner.
    actor
        Findings caused by one person or machine.
    at
        Those that were unresolved at a past time: 2026-11-20T09:12:00Z, 2026-11-20, or so long ago: 3h, 2d.
    rule
        One rule, such as drift.attribute, drift.gone, drift.undeclared, drift.unowned.
    limit
        How many at most, up to 500.
    """
    if id:
        finding = client.get(f"/findings/{quote(id)}")
        return Answer(finding, look.render(Text(finding["subject"], style="dim"), *_finding(finding)))
    if owner is not None:
        owner = "" if owner == "nobody" else owner if ":" in owner else f"group:default/{owner}".lower()
    page = client.get(
        "/findings",
        status=status,
        severity=severity,
        rule=rule,
        owner=owner,
        account=account,
        type=type,
        actor=actor,
        text=text,
        at=at,
        limit=limit,
    )
    if not page["items"]:
        if any((severity, rule, owner is not None, account, type, actor, text, at)):
            return Answer(page, "No finding fits.")
        return Answer(page, _nothing(client.get("/status")["cells"]))
    rows = [
        (
            look.severity(f["severity"]),
            Text(_brief(f)),
            look.owner(f["owner"]),
            Text(look.person(f["actor"]), style="bold"),
            look.age(f["opened_at"]) + (f" {f['status']}" if f["status"] in {"stale", "exempt"} else ""),
            Text(f["id"], style="dim"),
        )
        for f in page["items"]
    ]
    shown = look.table(
        ("severity", "what", "owner", "by", "age", "id"),
        rows,
        numbers=("age",),
        whole=("severity", "owner", "by", "id"),
    )
    rest = page["total"] - len(rows)
    tail = f"{page['total']} finding{'' if page['total'] == 1 else 's'}"
    tail += f", {rest} not shown (--limit)" if rest else ""
    tail += ". The whole story of one: uwu explain ID"
    return Answer(page, look.render(shown, Text(tail, style="dim")))


def _nothing(cells: dict[str, int]) -> str:
    """What an empty list means: silence where nothing could be seen is not good news."""
    complete, whole = cells.get("complete", 0), sum(cells.values())
    if not complete:
        return "Nothing is found, but nothing was observed either. What is missing: uwu status"
    unseen = f" {whole - complete} of {whole} cells could not be looked at: uwu status" if whole > complete else ""
    return f"Nothing is found: what was looked at is as it should be.{unseen}"


def _brief(finding: dict[str, Any]) -> str:
    """The title, and instead of saying that something differs how it does, where both values are short."""
    title = finding["title"]
    before, after = (look.value(finding[side]) for side in ("declared", "observed"))
    if not title.endswith(DIFFERS) or max(len(before), len(after)) > 20 or before[:1] in {"[", "{"}:
        return title
    return f"{title.removesuffix(DIFFERS)} {before} → {after}"


def query(
    sql: str | None = None,
    *,
    format: Literal["table", "csv", "json"] = "table",
    max_rows: int | None = None,
    at: str | None = None,
    client: Here,
) -> Answer:
    """Answer a SELECT over resources, relations, findings, entities, coverage, ownership and events.

    Resource types are tables under Steampipe's names: aws_ec2_instance, aws_s3_bucket. Without SQL, list the tables.

    Parameters
    ----------
    sql
        One statement in DuckDB's SQL, such as "select name, owner from aws_s3_bucket where region = 'eu-west-1'".
        Without it, the tables are listed.
    format
        How rows are written; wide ones stand on a terminal below each other, one column a line.
    max_rows
        How many rows at most instead of query.max_rows.
    at
        Read the tables as they were at a past time: 2026-11-20T09:12:00Z, 2026-11-20, or so long ago: 3h, 2d.
    """
    if not sql or sql.strip() in {".tables", "show tables"}:
        tables = client.get("/query/tables")
        rows = [(t["name"], Text(t["comment"], style="dim"), str(len(t["columns"]))) for t in tables]
        return Answer(
            tables, look.render(look.table(("table", "what it holds", "columns"), rows, numbers=("columns",)))
        )
    result = client.post("/query", {"sql": sql, "max_rows": max_rows, "at": at or ""})
    if format == "json":
        from uwu.kernel import codec

        records = [dict(zip(result["columns"], row, strict=True)) for row in result["rows"]]
        return Answer(result, codec.encode(records).decode())
    if format == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(result["columns"])
        writer.writerows([_cell(cell) for cell in row] for row in result["rows"])
        return Answer(result, buffer.getvalue())
    rows = [[_cell(cell) for cell in row] for row in result["rows"]]
    tail = f"{len(rows)} row{'' if len(rows) == 1 else 's'} in {result['seconds']:.2f} s"
    tail += " (cut: raise --max-rows)" if result["truncated"] else ""
    shown = look.table(result["columns"], [[Text(cell) for cell in row] for row in rows])
    parts = [shown] if look.fits(shown) else look.records(result["columns"], rows)
    return Answer(result, look.render(*parts, Text(tail, style="dim")))


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else look.value(value, limit=10_000)


def status(*, client: Here) -> Answer:
    """Say what is known, how complete and how fresh it is."""
    told = client.get("/status")
    found = sum(told["findings"].values())
    by_severity = ", ".join(f"{n} {name}" for name, n in told["findings"].items() if n)
    share = f"{100 * told['owned'] / told['ownable']:.1f}% owned" if told["ownable"] else "nothing to own"
    parts: list[Any] = [
        Text.assemble((told["organization"] or "uwu", "bold"), (f"  {told['home']}  {told['database']}", "dim")),
        Text(f"{told['resources']} resources in {told['accounts']} accounts, {told['relations']} relations, {share}"),
        Text(f"{told['entities']} entities, {told['declarations']} declarations"),
        Text(f"{found} findings" + (f": {by_severity}" if by_severity else "")),
    ]
    cells = {name: n for name, n in told["cells"].items() if n}
    if cells:
        whole = sum(cells.values())
        rest = ", ".join(f"{n} {name}" for name, n in cells.items() if name != "complete")
        parts.append(Text(f"{cells.get('complete', 0)} of {whole} cells complete" + (f": {rest}" if rest else "")))
    if told["sources"]:
        rows = [
            (s["name"], _fresh(s["status"]), look.age(s["at"]), Text(s["detail"], style="dim")) for s in told["sources"]
        ]
        parts += [Text(), look.table(("source", "is", "age", ""), rows, numbers=("age",))]
    sync = told["last_sync"]
    if sync is None:
        parts += [Text(), Text("Nothing was synced yet. Run: uwu sync")]
    else:
        at = sync["finished_at"] or sync["started_at"] or sync["created_at"]
        parts += [Text(), Text(f"Last sync {sync['status']} {look.ago(at)} ({sync['id']})", style="dim")]
    return Answer(told, look.render(*parts))


def _fresh(status: str) -> Text:
    return Text(status, style={"fresh": "green", "late": "yellow", "failed": "red"}.get(status, "dim"))
