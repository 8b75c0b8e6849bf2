"""The company's estate folder: who there is, what runs, which accounts, stacks and trail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from uwu.sim.company import SYSTEMS, Company

BACKSTAGE, UWU = "backstage.io/v1alpha1", "uwu.dev/v1alpha1"


def _entity(api: str, kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, **metadata}, "spec": dict(spec)}


def write(folder: Path, company: Company, *, stacks: Sequence[Mapping[str, Any]], trail: str) -> None:
    """Writes the estate: one file for the organisation, one for each team's services, found by a glob."""
    _dump(
        folder / "estate.yaml",
        [
            _entity(
                BACKSTAGE,
                "Location",
                "estate",
                {"type": "file", "targets": ["./org/*.yaml", "./services/*.yaml", "./aws/*.yaml"]},
                description="Everything that Larkspur declares",
            )
        ],
    )
    groups = [
        _entity(
            BACKSTAGE,
            "Group",
            team.name,
            {
                "type": "team",
                "profile": {"displayName": team.title, "email": f"{team.name}@larkspur.example"},
                "children": [],
            },
            title=team.title,
        )
        for team in company.teams
    ]
    users = [
        _entity(
            BACKSTAGE,
            "User",
            person.name,
            {
                "profile": {"displayName": person.title, "email": person.email},
                "memberOf": [person.team] if person.team else [],
            },
            title=person.title,
        )
        for person in company.people
    ]
    _dump(folder / "org" / "teams.yaml", groups)
    _dump(folder / "org" / "people.yaml", users)
    _dump(
        folder / "org" / "systems.yaml",
        [
            _entity(BACKSTAGE, "Domain", "larkspur", {"owner": "platform"}, title="Larkspur"),
            *(
                _entity(BACKSTAGE, "System", name, {"owner": owner, "domain": "larkspur"}, title=title)
                for name, (title, owner) in SYSTEMS.items()
            ),
        ],
    )
    names = {service.name for service in company.services}
    for team in company.teams:
        documents: list[dict[str, Any]] = []
        for service in company.services:
            if service.team != team.name:
                continue
            spec: dict[str, Any] = {
                "type": "service",
                "lifecycle": "experimental" if service.name.endswith("-staging") else "production",
                "owner": service.team,
                "system": service.system,
                "providesApis": [f"{service.name}-api"],
            }
            consumed = [f"{name}-api" for name in service.calls if name in names]
            if consumed:
                spec["consumesApis"] = consumed
            documents.append(
                _entity(
                    BACKSTAGE,
                    "Component",
                    service.name,
                    spec,
                    title=service.title,
                    description=f"{service.title} of the {service.system} system",
                    labels={"tier": str(service.tier)},
                )
            )
            documents.append(
                _entity(
                    BACKSTAGE,
                    "API",
                    f"{service.name}-api",
                    {
                        "type": "openapi",
                        "lifecycle": spec["lifecycle"],
                        "owner": service.team,
                        "system": service.system,
                        "definition": f"openapi: 3.1.0\ninfo: {{title: {service.title}, version: '1'}}\npaths: {{}}\n",
                    },
                )
            )
        if documents:
            _dump(folder / "services" / f"{team.name}.yaml", documents)
    # an account without an owner came with an acquisition: nobody has declared it yet
    accounts = [
        _entity(UWU, "Account", a.name, {"accountId": a.id, "owner": a.owner, "environment": a.environment})
        for a in company.accounts
        if a.owner
    ]
    _dump(folder / "aws" / "accounts.yaml", accounts)
    _dump(folder / "aws" / "stacks.yaml", [_entity(UWU, "Stack", s["name"], s["spec"]) for s in stacks])
    _dump(
        folder / "aws" / "trail.yaml", [_entity(UWU, "Trail", "organisation", {"source": trail, "owner": "security"})]
    )


class _Dumper(yaml.SafeDumper):
    """Quotes texts of digits: YAML 1.1 and 1.2 disagree on which of them are numbers."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if value.isdigit() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _dump(path: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump_all(documents, file, Dumper=_Dumper, sort_keys=False, explicit_start=False, width=120)
