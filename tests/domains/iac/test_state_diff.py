"""What is different between two versions, and that no secret is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.domains.iac.states import KEY, resource, state, write
from uwu.domains.iac import state_diff
from uwu.domains.iac.state_diff import StateDiff
from uwu.kernel import codec
from uwu.kernel.errors import Conflict, NotFound
from uwu.kernel.runtime import Kernel
from uwu.kernel.sensitive import MARK

OLD, NEW = "old-secret-8812", "new-secret-9943"


def compared(before: bytes, after: bytes) -> StateDiff:
    both = [state_diff.opened(data, KEY) for data in (before, after)]
    found = state_diff.difference(both[0], both[1], state=KEY, numbers=(1, 2))
    text = codec.encode(found).decode()
    assert OLD not in text and NEW not in text
    return found


def paths(found: StateDiff) -> dict[str, dict[str, tuple[Any, Any]]]:
    return {each.address: {path.path: (path.before, path.after) for path in each.paths} for each in found.changes}


def test_resources_that_came_went_and_changed_are_told_with_the_paths_of_what_changed() -> None:
    before = state(1, resource("a", tags={"env": "dev", "team": "x"}, rules=[{"port": 1}, {"port": 2}]), resource("b"))
    after = state(2, resource("a", tags={"env": "prod", "team": "x"}, rules=[{"port": 1}, {"port": 3}]), resource("c"))
    found = compared(before, after)
    assert (found.added, found.changed, found.removed, found.serials) == (1, 1, 1, (1, 2))
    assert [(each.address, each.kind) for each in found.changes] == [
        ("aws_sqs_queue.a", "changed"),
        ("aws_sqs_queue.b", "removed"),
        ("aws_sqs_queue.c", "added"),
    ]
    assert paths(found)["aws_sqs_queue.a"] == {"rules[1].port": (2, 3), "tags.env": ("dev", "prod")}
    assert compared(before, before).changes == []


@pytest.mark.parametrize(
    ("marked", "given"),
    [
        (("given",), lambda secret: {"given": secret}),
        (("given",), lambda secret: {"given": {"deep": [secret]}}),
        ((), lambda secret: {"password": secret}),
        ((), lambda secret: {"nested": [{"api_key": secret}]}),
        (("given",), lambda secret: {"given": secret, "repeated": secret}),
        (("given",), lambda secret: {"given": secret, "url": f"postgres://u:{secret}@host/db"}),
        (("given",), lambda secret: {"given": {"a": [secret]}, "output": {"a": [secret]}}),
    ],
)
def test_a_secret_that_changed_is_told_and_never_shown(marked: tuple[str, ...], given: Any) -> None:
    made = [state(n, resource("a", "terraform_data", marked, **given(v))) for n, v in ((1, OLD), (2, NEW))]
    change = compared(made[0], made[1]).changes[0]
    assert change.kind == "changed" and change.paths and all(path.secret for path in change.paths)
    assert all({path.before, path.after} == {MARK} for path in change.paths)


@pytest.mark.parametrize(
    ("type", "name"),
    [("aws_ssm_parameter", "value"), ("random_password", "result"), ("tls_private_key", "private_key_pem")],
)
def test_what_providers_keep_secret_is_known_without_a_mark(type: str, name: str) -> None:
    made = [state(n, resource("a", type, (), **{name: v})) for n, v in ((1, OLD), (2, NEW))]
    assert paths(compared(made[0], made[1])) == {f"{type}.a": {name: (MARK, MARK)}}


def test_outputs_are_compared_and_sensitive_ones_hidden_wherever_they_stand() -> None:
    def made(serial: int, secret: str, plain: str) -> bytes:
        outputs = {
            "p": {"value": {"k": secret}, "sensitive": True},
            "q": {"value": plain},
            "r": {"value": f"x {secret}"},
        }
        return state(serial, resource("a", env=secret), outputs=outputs)

    found = paths(compared(made(1, OLD, "one"), made(2, NEW, "two")))
    assert found["output.q"] == {"value": ("one", "two")}
    assert found["output.p"] == found["output.r"] == {"value": (MARK, MARK)}
    assert found["aws_sqs_queue.a"] == {"env": (MARK, MARK)}


def test_short_and_common_marked_values_do_not_hide_everything() -> None:
    before = state(1, resource("a", marked=("flag", "n"), flag=True, n="1", other="1", on=True))
    after = state(2, resource("a", marked=("flag", "n"), flag=True, n="1", other="2", on=False))
    assert paths(compared(before, after)) == {"aws_sqs_queue.a": {"on": (True, False), "other": ("1", "2")}}


def test_between_versions_of_a_kept_state(kernel: Kernel) -> None:
    with pytest.raises(NotFound):
        state_diff.between(kernel, KEY, 0, 0)
    write(kernel, state(1, resource("a")))
    first = state_diff.between(kernel, KEY, 0, 0)
    assert (first.before, first.after, first.added) == (0, 1, 1)
    write(kernel, state(2, resource("a"), resource("b")))
    write(kernel, state(3, resource("b")))
    latest = state_diff.between(kernel, KEY, 0, 0)
    assert (latest.before, latest.after, latest.removed) == (2, 3, 1)
    assert state_diff.between(kernel, KEY, 1, 3).changes[0].kind == "removed"
    assert state_diff.between(kernel, KEY, 3, 1).added == 1
    opaque = json.dumps({"serial": 4, "lineage": "1111-2222", "encrypted_data": "x"}).encode()
    write(kernel, opaque)
    with pytest.raises(Conflict) as caught:
        state_diff.between(kernel, KEY, 0, 0)
    assert caught.value.problem.code == "state-encrypted"
