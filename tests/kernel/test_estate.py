"""The estate reader: places, references, locations, and that one bad document costs only itself."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from uwu.domains.catalog.declare import KINDS
from uwu.kernel import documents, estate, schema
from uwu.kernel.documents import Document
from uwu.kernel.errors import BadInput, Problem

KNOWN = {kind.kind.lower(): kind for kind in KINDS}

GROUP = """\
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: payments}
spec: {type: team, children: []}
"""
COMPONENT = """\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: checkout
spec:
  type: service
  lifecycle: production
  owner: payments
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder


def load(*paths: Path) -> estate.Estate:
    return estate.load(paths, KNOWN)


def only(found: estate.Estate, code: str) -> Problem:
    """The one problem there is, which must be of ``code``."""
    assert [p.code for p in found.problems] == [code], found.problems
    return found.problems[0]


def test_documents_of_a_file_keep_their_places(tmp_path: Path) -> None:
    write(tmp_path, all=f"# teams\n---\n{GROUP}---\n\n{COMPONENT}")
    found = load(tmp_path)
    assert found.problems == ()
    assert {e.ref: str(e.place) for e in found.entities} == {
        "group:default/payments": f"{tmp_path}/all.yaml:3",
        "component:default/checkout": f"{tmp_path}/all.yaml:9",
    }
    assert {(r.source, r.kind, r.target, r.evidence) for r in found.relations} == {
        ("component:default/checkout", "ownedBy", "group:default/payments", f"{tmp_path}/all.yaml:16"),
        ("group:default/payments", "ownerOf", "component:default/checkout", f"{tmp_path}/all.yaml:16"),
    }
    assert found.origins == (f"file:{tmp_path}",)


@pytest.mark.parametrize(
    ("bad", "code", "line"),
    [
        ("kind: a: b\n", "yaml-syntax", 6),
        ("kind:\n\t- x\n", "yaml-syntax", 7),
        ("kind: *nope\n", "yaml-syntax", 6),
        ("kind: 'open\nb: 2\n", "yaml-syntax", 8),
        ("kind: Group\nmetadata:\n  name: a\n  name: b\n", "yaml-duplicate-key", 9),
        ("kind: !Ref x\n", "yaml-tag", 6),
        ("? [a, b]\n: 1\n", "yaml-key", 6),
        ("just a text\n", "not-an-entity", 6),
        (GROUP.replace("Group", "Grup"), "unknown-kind", 7),
        (GROUP.replace("v1alpha1", "v9"), "unknown-api-version", 6),
        (GROUP.replace("name: payments", "name: -x-"), "schema", 8),
        (GROUP.replace("children: []", "members: []"), "schema", 9),
    ],
)
def test_a_bad_document_costs_only_itself(tmp_path: Path, bad: str, code: str, line: int) -> None:
    write(tmp_path, all=f"---\n{GROUP}---\n{bad}---\n{COMPONENT}".replace("---\n", "---\n", 1))
    found = load(tmp_path)
    problem = only(found, code)
    assert problem.place == f"{tmp_path}/all.yaml:{line + 1}"
    assert problem.hint
    assert {e.kind for e in found.entities} == {"Group", "Component"}
    assert found.unread == ({f"{tmp_path}/all.yaml"} if code != "not-an-entity" else set())


def test_hints_name_what_was_likely_meant(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=GROUP.replace("kind: Group", "kind: Gruop"),
        b=COMPONENT.replace("lifecycle", "lifecylce"),
        c=COMPONENT.replace("checkout", "cart").replace("owner: payments", "owner: paymnets"),
        d=GROUP,
        e=GROUP.replace("payments", "'1'").replace("type: team", "type: 12"),
    )
    hints = {p.place.rsplit("/", 1)[1]: p.hint for p in load(tmp_path).problems}
    assert hints == {
        "a.yaml:2": "did you mean Group?",
        "b.yaml:5": "is it the field lifecylce?",
        "c.yaml:8": "did you mean group:default/payments?",
        "e.yaml:4": "quote it to make it a text",
    }


def test_a_reference_to_another_kind_of_that_name_says_so(tmp_path: Path) -> None:
    write(tmp_path, a=COMPONENT.replace("owner: payments", "owner: user:payments"), b=GROUP)
    problem = only(load(tmp_path), "dangling-reference")
    assert problem.hint == "did you mean group:default/payments?"


def test_of_two_entities_of_one_name_the_first_is_kept(tmp_path: Path) -> None:
    write(tmp_path, a=GROUP, b=GROUP.replace("payments", "Payments"))
    found = load(tmp_path)
    assert only(found, "duplicate-entity").place == f"{tmp_path}/b.yaml:3"
    assert [e.name for e in found.entities] == ["payments"]
    write(tmp_path, b=f"{COMPONENT}---\n{COMPONENT}")
    assert only(load(tmp_path), "duplicate-entity").place == f"{tmp_path}/b.yaml:13"


def location(*targets: str, type: str = "file") -> str:
    lines = "".join(f"    - {target!r}\n" for target in targets)
    head = "apiVersion: backstage.io/v1alpha1\nkind: Location\nmetadata: {name: all}\n"
    return f"{head}spec:\n  type: {type}\n  targets:\n{lines}"


def test_locations_are_followed_with_globs_and_cycles(tmp_path: Path) -> None:
    write(
        tmp_path,
        top=location("./teams/*.yaml", "services/**/catalog-{info,data}.yaml"),
        teams__a=GROUP + "---\n" + location("../top.yaml").replace("name: all", "name: back"),
        services__deep__er__catalog_info="",
        other=GROUP,
    )
    (tmp_path / "services/deep/er/catalog-info.yaml").write_text(COMPONENT)
    found = load(tmp_path / "top.yaml")
    assert found.problems == ()
    assert {e.ref for e in found.entities} == {
        "location:default/all",
        "location:default/back",
        "group:default/payments",
        "component:default/checkout",
    }


def test_locations_neither_escape_nor_fail_silently(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(GROUP)
    folder = tmp_path / "estate"
    write(folder, top=location("../secret.yaml", "../*.yaml", "/etc/hosts", "./tip.yaml", "nothing/*.yaml"))
    found = load(folder)
    assert [(p.code, p.place.rsplit(":", 1)[1]) for p in found.problems] == [
        ("estate-escape", "7"),
        ("estate-escape", "8"),
        ("estate-escape", "9"),
        ("location-missing", "10"),
        ("location-missing", "11"),
    ]
    assert found.problems[3].hint == "did you mean top.yaml?"
    assert [e.kind for e in found.entities] == ["Location"]


def test_links_out_of_the_estate_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "outside", a=GROUP)
    folder = write(tmp_path / "estate", b=COMPONENT.replace("owner: payments", "owner: user:default/x"))
    (folder / "link.yaml").symlink_to(tmp_path / "outside" / "a.yaml")
    (folder / "folder").symlink_to(tmp_path / "outside")
    found = load(folder)
    assert sorted(p.code for p in found.problems) == ["dangling-reference", "estate-escape", "estate-escape"]
    assert [e.kind for e in found.entities] == ["Component"]


def test_a_remote_location_is_kept_and_said(tmp_path: Path) -> None:
    write(tmp_path, a=location("https://github.com/x/y/blob/main/catalog-info.yaml", type="url"))
    problem = only(load(tmp_path), "location-remote")
    assert problem.severity == "warning"


def test_a_missing_root_is_named_and_is_no_origin(tmp_path: Path) -> None:
    found = load(tmp_path / "nowhere", write(tmp_path / "estate", a=GROUP))
    assert only(found, "estate-missing").place == f"{tmp_path}/nowhere"
    assert found.origins == (f"file:{tmp_path}/estate",)


API = """\
apiVersion: backstage.io/v1alpha1
kind: API
metadata: {name: orders}
spec:
  type: openapi
  lifecycle: production
  owner: payments
  definition:
    $text: %s
"""


def test_substitutions_read_files_of_the_estate_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    folder = write(tmp_path / "estate", group=GROUP, api=API % "./openapi.yaml", openapi="openapi: 3.1.0\n")
    found = load(folder)
    assert found.problems == ()
    assert found.entities[0].spec["definition"] == "openapi: 3.1.0\n"
    for target, code in (
        ("../secret", "estate-escape"),
        ("openap.yaml", "substitution-missing"),
        ("https://x/y", "substitution-remote"),
    ):
        write(folder, api=API % target)
        (folder / "openapi.yaml").unlink(missing_ok=True)
        assert only(load(folder), code).place.endswith("api.yaml:9")
    write(folder, api=(API % "openapi.yaml").replace("$text", "$yaml"), openapi="openapi: 3.1.0\n")
    assert load(folder).entities[0].spec["definition"] == {"openapi": "3.1.0"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Payments", "group:default/payments"),
        ("team-a/payments", "group:team-a/payments"),
        ("User:Jane.Doe", "user:default/jane.doe"),
        ("user:ops/jane", "user:ops/jane"),
    ],
)
def test_references(text: str, expected: str) -> None:
    assert str(estate.parse_reference(text, kind="group")) == expected


@pytest.mark.parametrize("text", ["", "a b", "a:b:c", "a/b/c", ":x", "x:"])
def test_malformed_references(text: str) -> None:
    with pytest.raises(BadInput, match="reference-malformed"):
        estate.parse_reference(text, kind="group")


def test_a_reference_without_any_kind_is_refused(tmp_path: Path) -> None:
    write(tmp_path, a=COMPONENT + "  dependsOn: [cart]\n", b=GROUP)
    assert only(load(tmp_path), "reference-kind").place == f"{tmp_path}/a.yaml:9"


def test_references_are_of_the_namespace_of_their_entity(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=GROUP.replace("name: payments", "name: payments, namespace: shop"),
        b=COMPONENT.replace("name: checkout", "name: checkout\n  namespace: shop"),
    )
    found = load(tmp_path)
    assert found.problems == ()
    assert found.relations[0].target == "group:shop/payments"


def test_location_references_are_parted_at_the_first_colon() -> None:
    assert estate.parse_location("url:https://x:8443/a") == ("url", "https://x:8443/a")
    with pytest.raises(BadInput):
        estate.parse_location("nothing")


# ---- documents


def read(text: str) -> list[Document | Problem]:
    return list(documents.read_text(text, "f.yaml"))


def value(text: str) -> object:
    (found,) = read(text)
    assert isinstance(found, Document), found
    return found.value


def test_scalars_follow_the_core_schema() -> None:
    text = "[no, on, yes, 2024-01-01, 012, 0x1F, 1e3, 1_000, ~, null, true, '1', !!str 7, !!int '7', 12:30]"
    assert value(text) == [
        "no",
        "on",
        "yes",
        "2024-01-01",
        12,
        31,
        1000.0,
        "1_000",
        None,
        None,
        True,
        "1",
        "7",
        7,
        "12:30",
    ]


def test_markers_within_scalars_and_after_ends() -> None:
    text = "a: |\n  x\n  ---\n  y\n...\n# no more\n---\nb: 1\n...\nc: 2\n"
    found = [d for d in read(text) if isinstance(d, Document)]
    assert [(d.value, d.line) for d in found] == [({"a": "x\n---\ny\n"}, 1), ({"b": 1}, 8), ({"c": 2}, 10)]
    assert read("---\n---\n# nothing\n") == []
    assert read("") == []


def test_merge_keys_yield_to_what_is_written() -> None:
    text = "base: &b {x: 1, y: 1}\nother: &o {x: 2, z: 2}\nall: {<<: [*b, *o], y: 3}\n"
    assert value(text)["all"] == {"x": 1, "y": 3, "z": 2}  # type: ignore[index]


def test_lines_of_fields() -> None:
    (found,) = read("---\na:\n  - b: 1\n    c:\n      d: 2\n")
    assert isinstance(found, Document)
    assert found.line_of(("a", 0, "c", "d")) == 5
    assert found.line_of(("a", 0, "nope", "x")) == 3
    assert found.place(("a",)) == "f.yaml:2"


def problem_of(text: str) -> Problem:
    (found,) = read(text)
    assert isinstance(found, Problem)
    return found


def test_bombs_are_refused() -> None:
    laughs = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    assert problem_of(laughs).code == "yaml-aliases"
    assert problem_of("a: &a [*a]\n").code in {"yaml-aliases", "yaml-depth"}
    assert problem_of("[" * 2_000_000).code == "yaml-depth"
    assert problem_of("- " * 100_000 + "x").code in {"yaml-depth", "yaml-syntax"}


def test_files_that_are_too_large_or_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    (problem,) = documents.read_file(path)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.place) == ("yaml-encoding", f"{path}:2")
    with path.open("wb") as file:
        file.truncate(documents.MAX_FILE_BYTES + 1)
    (problem,) = documents.read_file(path)
    assert isinstance(problem, Problem)
    assert problem.code == "file-too-large"


# ---- schema


def test_the_checker_refuses_keywords_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="oneOf"):
        list(schema.check(1, {"oneOf": []}))


def test_the_checker() -> None:
    rules = {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "integer", "minimum": 1}},
            "b": {"enum": ["red", "blue"]},
            "c": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "additionalProperties": False,
    }
    assert list(schema.check({"a": [1, 2], "b": "red", "c": None}, rules)) == []
    found = {v.path: v for v in schema.check({"a": [1, 1, 0, True], "b": "bleu", "c": 1, "bb": 0}, rules)}
    assert set(found) == {("a", 1), ("a", 2), ("a", 3), ("b",), ("c",), ("bb",)}
    assert found["b",].hint == "did you mean blue?"
    assert found["bb",].message == "bb is not a field here"
    assert [v.path for v in schema.check({}, rules)] == [()]
