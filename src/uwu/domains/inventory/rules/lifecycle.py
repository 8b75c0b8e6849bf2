"""Versions whose support ends or has ended: dates as their makers have announced them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from uwu.domains.inventory.rules.model import LOW, MEDIUM, Book, Lacking, Row, Said, Severity, Wrong
from uwu.domains.inventory.rules.world import World

BOOK = Book("Lifecycle")

READ = date(2026, 5, 1)
"""When the tables were last held against their sources."""

RUNTIMES: Mapping[str, date | None] = {
    "nodejs": date(2016, 10, 31),
    "nodejs4.3": date(2020, 3, 5),
    "nodejs4.3-edge": date(2020, 3, 5),
    "nodejs6.10": date(2019, 8, 12),
    "nodejs8.10": date(2020, 3, 6),
    "nodejs10.x": date(2021, 7, 30),
    "nodejs12.x": date(2023, 3, 31),
    "nodejs14.x": date(2023, 12, 4),
    "nodejs16.x": date(2024, 6, 12),
    "nodejs18.x": date(2025, 9, 1),
    "nodejs20.x": date(2026, 4, 30),
    "nodejs22.x": date(2027, 4, 30),
    "nodejs24.x": date(2028, 4, 30),
    "python2.7": date(2021, 7, 15),
    "python3.6": date(2022, 7, 18),
    "python3.7": date(2023, 12, 4),
    "python3.8": date(2024, 10, 14),
    "python3.9": date(2025, 12, 15),
    "python3.12": date(2028, 10, 31),
    "python3.13": date(2029, 6, 30),
    "python3.14": date(2029, 6, 30),
    "java8": date(2024, 1, 8),
    "java21": date(2029, 6, 30),
    "java25": date(2029, 6, 30),
    "dotnetcore1.0": date(2019, 7, 27),
    "dotnetcore2.0": date(2019, 5, 30),
    "dotnetcore2.1": date(2022, 1, 5),
    "dotnetcore3.1": date(2023, 4, 3),
    "dotnet5.0": date(2022, 5, 10),
    "dotnet6": date(2024, 12, 20),
    "dotnet7": date(2024, 5, 14),
    "dotnet8": date(2026, 11, 10),
    "dotnet10": date(2028, 11, 14),
    "ruby2.5": date(2021, 7, 30),
    "ruby2.7": date(2023, 12, 7),
    "ruby3.2": date(2026, 3, 31),
    "ruby3.3": date(2027, 3, 31),
    "ruby3.4": date(2028, 3, 31),
    "go1.x": date(2024, 1, 8),
    "provided": date(2024, 1, 8),
    "provided.al2023": date(2029, 6, 30),
}
"""Lambda's runtimes and the day of their deprecation ("Lambda runtimes", AWS Lambda Developer Guide). Those on Amazon
Linux 2 (java8.al2, java11, java17, python3.10, python3.11, provided.al2) are not among them: AWS has put off their
days, and still patches them."""

ENGINES: Mapping[str, Mapping[str, date]] = {
    "mysql": {
        "5.5": date(2021, 5, 25),
        "5.6": date(2022, 3, 1),
        "5.7": date(2024, 2, 29),
        "8.0": date(2026, 7, 31),
        "8.4": date(2029, 7, 31),
    },
    "postgres": {
        "9": date(2022, 4, 30),
        "10": date(2023, 4, 17),
        "11": date(2024, 2, 29),
        "12": date(2025, 2, 28),
        "13": date(2026, 2, 28),
        "14": date(2027, 2, 28),
        "15": date(2028, 2, 29),
        "16": date(2029, 2, 28),
        "17": date(2030, 2, 28),
    },
    "mariadb": {"10.2": date(2022, 10, 15), "10.3": date(2023, 10, 23)},
    "aurora": {"5.6": date(2023, 2, 28)},
    "aurora-mysql": {"5.7": date(2024, 10, 31), "8.0": date(2028, 4, 30)},
    "aurora-postgresql": {
        "10": date(2023, 1, 31),
        "11": date(2024, 2, 29),
        "12": date(2025, 2, 28),
        "13": date(2026, 2, 28),
        "14": date(2027, 2, 28),
        "15": date(2028, 2, 29),
        "16": date(2029, 2, 28),
    },
}
"""Engine -> major version -> the end of its standard support ("Amazon RDS Extended Support" and the release calendars
of the engines, Amazon RDS and Aurora User Guides). Afterwards each vCPU costs more every hour."""

CLUSTERS: Mapping[str, date] = {
    "1.23": date(2023, 10, 11),
    "1.24": date(2024, 1, 31),
    "1.25": date(2024, 5, 1),
    "1.26": date(2024, 6, 11),
    "1.27": date(2024, 7, 24),
    "1.28": date(2024, 11, 26),
    "1.29": date(2025, 3, 23),
    "1.30": date(2025, 7, 23),
    "1.31": date(2025, 11, 26),
    "1.32": date(2026, 3, 23),
    "1.33": date(2026, 7, 29),
    "1.34": date(2026, 12, 2),
    "1.35": date(2027, 3, 27),
}
"""Version of Kubernetes -> the end of its standard support in EKS ("Understand the Kubernetes version lifecycle on
EKS", Amazon EKS User Guide). Afterwards the control plane costs six times as much."""


def _ends(world: World, row: Row, what: str, day: date | None, path: str, ended: Severity) -> Said:
    """That the support of ``what`` ends within ``rules.ended_days``, or has ended."""
    if day is None:
        return Lacking(f"no end of support is known here for {what} (the table is of {READ:%Y-%m})")
    end = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if end > world.now + timedelta(days=world.settings.ended_days):
        return None
    if end > world.now:
        return Wrong(f"is on {what}, whose support ends on {day}", path, what, LOW)
    return Wrong(f"is on {what}, whose support ended on {day}", path, what, world.raised(row, ended), since=end)


@BOOK.one(
    "runtime-ended",
    "A function runs on a runtime without support",
    LOW,
    ("aws_lambda_function",),
    rises="in production",
    why="It gets no more patches, and after some weeks it can no longer be deployed: not even with a fix.",
    remedy="aws lambda update-function-configuration --function-name <name> --runtime <newer> --region <region>; "
    "Terraform: runtime",
    references=("FSBP Lambda.2", "AWS: Lambda runtimes"),
)
def _runtime(world: World, row: Row) -> Said:
    runtime = row.get("Runtime")
    if not runtime:
        return None if row.get("PackageType") == "Image" else row.unread("Runtime")
    return _ends(world, row, str(runtime), RUNTIMES.get(str(runtime)), "Runtime", LOW)


@BOOK.one(
    "engine-ended",
    "A database runs on an engine without standard support",
    MEDIUM,
    ("aws_rds_db_instance", "aws_rds_db_cluster"),
    rises="in production",
    why="Extended Support is charged for each vCPU and hour, and ends with an upgrade on AWS's day instead of yours.",
    remedy="aws rds create-blue-green-deployment --source <arn> --target-engine-version <newer> --region <region>; "
    "Terraform: engine_version with blue_green_update",
    references=("AWS: Amazon RDS Extended Support",),
)
def _engine(world: World, row: Row) -> Said:
    engine, version = str(row.get("Engine") or ""), str(row.get("EngineVersion") or "")
    if engine not in ENGINES or (row.type == "aws_rds_db_instance" and row.get("DBClusterIdentifier")):
        return None
    known = ENGINES[engine]
    parts = version.split(".")
    major = parts[0] if parts[0] in known else ".".join(parts[:2])
    return _ends(world, row, f"{engine} {major}", known.get(major), "EngineVersion", MEDIUM)


@BOOK.one(
    "cluster-version-ended",
    "An EKS cluster runs a version without standard support",
    MEDIUM,
    ("aws_eks_cluster",),
    rises="in production",
    why="Extended support costs six times as much, and ends with an upgrade on AWS's day instead of yours.",
    remedy="aws eks update-cluster-version --name <name> --kubernetes-version <next minor> --region <region>",
    references=("FSBP EKS.2", "AWS: Understand the Kubernetes version lifecycle on EKS"),
)
def _cluster(world: World, row: Row) -> Said:
    version = str(row.get("version") or "")
    if not version:
        return row.unread("version")
    return _ends(world, row, f"Kubernetes {version}", CLUSTERS.get(version), "version", MEDIUM)
