"""A job's progress in the terminal: bars where there is one, plain lines where there is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uwu.app.cli.session import Session

STAGES = {
    "catalog": "Reading the estate",
    "iac": "Reading Terraform states",
    "inventory": "Observing AWS",
    "trail": "Taking in CloudTrail",
    "ownership": "Settling ownership",
    "drift": "Judging drift",
    "checking": "Checking that nothing has changed",
    "applying": "Applying",
    "observing": "Observing what was touched",
    "judging": "Judging drift",
}


def follow(session: Session, job: str) -> dict[str, Any]:
    """Shows the job's progress until it has finished and gives its record."""
    if session.json or not session.err.is_terminal:
        return _plain(session, job)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("[dim]{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    record: dict[str, Any] = {}
    with Progress(*columns, console=session.err, transient=False) as bars:
        tasks: dict[str, Any] = {}
        for update in session.client.follow(job):
            record = update["job"]
            stage = record["stage"]
            if stage and stage not in tasks:
                _finish(bars, tasks)
                tasks[stage] = bars.add_task(str(STAGES.get(stage, stage)), total=None, note="")
            for active in update["active"]:
                if stage in tasks and active["total"]:
                    bars.update(tasks[stage], completed=active["done"], total=active["total"], note=active["stage"])
            if stage in tasks and record["total"]:
                bars.update(tasks[stage], completed=record["done"], total=record["total"])
            for line in update["lines"]:
                if line["level"] != "info":
                    bars.console.print(f"[yellow]{line['level']}[/] {line['message']}", markup=True)
        if record.get("status") == "done":
            _finish(bars, tasks)
    return record


def _finish(bars: Any, tasks: dict[str, Any]) -> None:
    for task in tasks.values():
        total = bars.tasks[task].total
        bars.update(task, completed=total or 1, total=total or 1, note="")


def _plain(session: Session, job: str) -> dict[str, Any]:
    record: dict[str, Any] = {}
    told = ""
    for update in session.client.follow(job):
        record = update["job"]
        if record["stage"] and record["stage"] != told:
            told = record["stage"]
            session.err.print(STAGES.get(told, told), markup=False)
        for line in update["lines"]:
            if line["level"] != "info":
                session.err.print(f"{line['level']}: {line['message']}", markup=False)
    return record
