"""The demo's home: it may replace what a demo made, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.utils import get_environ_proxies

from uwu.app import demo
from uwu.app.cli.session import Session
from uwu.app.serve import only_server
from uwu.kernel import settings
from uwu.kernel.errors import Conflict, Misconfigured


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "thesis" / "chapter.txt"
    kept.parent.mkdir()
    kept.write_text("years of work")
    with pytest.raises(Conflict) as caught:
        demo.make_fresh(tmp_path)
    assert caught.value.problem.code == "demo-home"
    assert kept.read_text() == "years of work"
    with pytest.raises(Conflict):
        demo.make_fresh(kept)
    assert kept.read_text() == "years of work"


def test_a_home_of_the_demo_starts_anew(tmp_path: Path) -> None:
    home = tmp_path / "not" / "there" / "yet"
    demo.make_fresh(home)
    (home / "state.db").write_text("old")
    (home / "server.lock").touch()
    demo.make_fresh(home)
    assert [path.name for path in home.iterdir()] == [demo.MARK]
    (tmp_path / "empty").mkdir()
    demo.make_fresh(tmp_path / "empty")
    assert (tmp_path / "empty" / demo.MARK).exists()


def test_a_link_leads_to_the_home_it_names(tmp_path: Path) -> None:
    demo.make_fresh(tmp_path / "home")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    home = demo.home_of(tmp_path / "link")
    demo.make_fresh(home)
    assert home == tmp_path / "home"
    assert (tmp_path / "link").is_symlink()


def test_a_demo_that_is_still_served_is_not_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    demo.make_fresh(home)
    (home / "state.db").touch()
    with only_server(home), pytest.raises(Conflict) as caught:
        demo.make_fresh(home)
    assert caught.value.problem.code == "server-running"
    assert (home / "state.db").exists()


def test_a_place_where_no_folder_can_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured) as caught:
        demo.make_fresh(tmp_path / "file" / "home")
    assert caught.value.problem.code == "demo-home"


def test_the_demo_knows_nothing_of_ones_own_database_or_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uwu import sim

    class Reached(Exception):
        pass

    def reached(*_: Any) -> Any:
        raise Reached

    monkeypatch.setattr(sim, "MotoServer", reached)
    for name, value in {
        "UWU_URL": "http://127.0.0.1:9",
        "UWU_DATABASE_URL": "postgresql+psycopg://uwu@db.example.com/uwu",
        "UWU_LAKE_WAREHOUSE": "s3://our-lake/events",
        "UWU_AWS_PROFILE": "production",
        "UWU_HTTP_PORT": "8555",
        "AWS_PROFILE": "no-such-profile",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    home = tmp_path / "home"
    session = Session(json=True, home=home)
    try:
        with pytest.raises(Reached):
            demo.run(session, home, once=True, seed=7, accounts=4, resources=10, port=None)
        found = settings.load(home)
        boto = botocore.session.Session()
        boto.set_credentials("test", "test")
        client = boto.create_client("sts", region_name="us-east-1", endpoint_url="http://127.0.0.1:1")
        proxies = get_environ_proxies(client.meta.endpoint_url)
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert found.database_url == ""
    assert found.warehouse == str(home / "lake")
    assert found.aws.profile == ""
    assert found.http.port == 8555
    assert proxies == {}
