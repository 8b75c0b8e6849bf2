"""What commands print: whole on a pipe, within its columns on a terminal, and readable when nothing is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.text import Text

from tests.app.console import world
from uwu.app.cli import ask, entropy, keep, look
from uwu.app.cli.session import Session
from uwu.app.client import ApiClient, Embedded
from uwu.kernel.runtime import Kernel

COLUMNS = 100
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def session_on(kernel: Kernel) -> Session:
    session = Session(json=False, home=kernel.settings.home_path)
    session.__dict__["client"] = ApiClient(Embedded(kernel))  # whose domains are the test's own
    return session


@pytest.fixture
def client(sqlite_kernel: Kernel) -> Iterator[Session]:
    kernel = world.open_kernel(sqlite_kernel.settings.home_path)
    world.fill(kernel)
    session = session_on(kernel)
    yield session
    session.close()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Console(force_terminal=True, width=COLUMNS, color_system="truecolor", no_color=False, highlight=False)
    monkeypatch.setattr(look, "_terminal", lambda: shown)


def lines(text: str) -> list[str]:
    return [ESCAPES.sub("", line) for line in text.splitlines()]


def too_wide(text: str) -> list[str]:
    """Lines that a terminal would break; a fix is one line however long, for it is there to be pasted."""
    return [line for line in lines(text) if len(line) > COLUMNS and not re.match(r" *fix ", line)]


def test_every_story_fits_the_terminal(client: Session, terminal: None) -> None:
    subjects = [r["urn"] for r in client.get("/resources", limit=500)["items"]]
    subjects += [f"{e['kind']}:{e['namespace']}/{e['name']}".lower() for e in client.get("/entities")["items"]]
    subjects += [f["subject"] for f in client.get("/findings", status="all")["items"]]
    assert len(subjects) > 20
    for subject in dict.fromkeys(subjects):
        told = ask.explain(subject, client=client)
        assert too_wide(told.text) == [], subject
        assert lines(told.text)[0].strip()


def test_every_list_fits_the_terminal(client: Session, terminal: None) -> None:
    for told in (
        ask.findings(client=client),
        entropy.entropy(client=client),
        ask.query("select * from resources limit 3", client=client),
        ask.query(client=client),
        keep.list_(client=client),
    ):
        assert too_wide(told.text) == []
        assert told.text.strip()


def test_a_story_tells_who_what_and_the_fix(client: Session) -> None:
    finding = next(f for f in client.get("/findings")["items"] if f["cause"] and f["remedy"] and f["path"])
    told = ask.explain(finding["subject"], client=client).text
    for part in (
        finding["cause"]["actor"]["name"],
        finding["cause"]["name"],
        finding["cause"]["event_id"],
        finding["remedy"],
        finding["id"],
        finding["path"],
        look.when(finding["cause"]["at"]),
        "declared",
        "observed",
        "Owned by",
    ):
        assert part in told, part
    assert ask.findings(finding["id"], client=client).value == finding


def test_a_pipe_gets_whole_lines_without_colours(client: Session) -> None:
    told = ask.findings(client=client).text
    assert "\x1b" not in told
    for finding in client.get("/findings")["items"]:
        line = next(line for line in told.splitlines() if line.endswith(finding["id"]))
        assert finding["severity"] in line
    assert all(line == line.rstrip() for line in told.splitlines())


def test_short_values_say_how_it_differs() -> None:
    finding = {"title": "RDS instance a: multi_az is not as declared", "declared": True, "observed": False}
    assert ask._brief(finding) == "RDS instance a: multi_az true → false"
    long = {**finding, "declared": ["x"], "observed": ["y"]}
    assert ask._brief(long) == finding["title"]
    assert ask._brief({**finding, "title": "Bucket b has no owner"}) == "Bucket b has no owner"


def test_rows_wider_than_the_terminal_stand_below_each_other(client: Session, terminal: None) -> None:
    sql = "select 'x' as a, repeat('word ', 60) as long_text"
    told = lines(ask.query(sql, client=client).text)
    assert told[0] == "row 1"
    assert told[1].split() == ["a", "x"]
    assert all(len(line) <= COLUMNS for line in told)


def test_query_formats_are_for_programs(client: Session) -> None:
    sql = "select 1 as n, 'a,b' as t, null as nothing"
    assert ask.query(sql, format="csv", client=client).text == 'n,t,nothing\n1,"a,b",\n'
    assert ask.query(sql, format="json", client=client).text == '[{"n":1,"t":"a,b","nothing":null}]'


@pytest.mark.usefixtures("terminal")
def test_text_hangs_beside_its_label_and_its_note_moves_below() -> None:
    short = look.hang(Text("label  "), Text("one"), "note")
    assert [line.plain for line in short] == ["label  one  note"]
    long = look.hang(Text("label  "), Text("word " * 30), "note")
    assert all(len(line.plain) <= COLUMNS for line in long)
    assert all(line.plain.startswith("       ") for line in long[1:])
    assert long[-1].plain.strip() == "note"


def test_nothing_known_says_what_to_do(sqlite_kernel: Kernel) -> None:
    api = session_on(Kernel.open(sqlite_kernel.settings.home_path))
    assert "uwu sync" in ask.status(client=api).text
    assert entropy.entropy(client=api).text
    assert ask.findings(client=api).text == ask._nothing({})
    assert "empty" in keep.list_(client=api).text
    api.close()


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({}, "nothing was observed either"),
        ({"denied": 4}, "nothing was observed either"),
        ({"complete": 3, "denied": 1}, "1 of 4 cells could not be looked at"),
        ({"complete": 3, "denied": 0}, "as it should be."),
    ],
)
def test_silence_is_no_good_news_where_nothing_was_seen(cells: dict[str, int], says: str) -> None:
    assert says in ask._nothing(cells)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "now"), (59, "now"), (60, "1 min"), (7199, "1 h"), (86400 * 3, "3 d"), (-500, "now")]
)
def test_ages_are_those_of_people(seconds: int, told: str) -> None:
    from datetime import timedelta

    from uwu.kernel import codec

    assert look.age(codec.now() - timedelta(seconds=seconds)) == told
    assert look.age(None) == "never"
