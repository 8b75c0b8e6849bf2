"""The command line. Every command is a call of the API; ``--json`` gives the API's own answer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from uwu import __version__
from uwu.app.cli.session import Session
from uwu.kernel import domain
from uwu.kernel.errors import BadInput, UwuError

HELP = """\
What is it, who owns it, is it as declared, who changed it, what puts it right.

Commands speak with the server of the home where one runs (or with UWU_URL),
else they work on the home itself.

Exit status: 0 done, 1 failed, 2 bad input, 3 not found, 4 conflict,
5 denied, 6 unavailable, 7 misconfigured, 130 interrupted.
"""

ASK, RUN, KEEP = Group("Ask", sort_key=1), Group("Run", sort_key=2), Group("Look after", sort_key=3)

COMMANDS = {
    ASK: {
        "ask:explain": "Tell the whole story of a resource or an entity.",
        "ask:findings": "List what is not as it should be, the worst first.",
        "ask:query": "Answer a SELECT over everything that is known.",
        "times:diff": "Compare two times: what was added, changed, removed, and by whom.",
        "ways:path": "Find the ways between two things.",
        "ways:reach": "List what can be reached from a thing.",
        "ways:exposed": "Say whether the internet reaches a thing, and how.",
        "ways:assumes": "Say who may assume a role.",
        "own:own": "Tell who owns what and why; say it once, in the estate.",
        "own:oncall": "Say who is on call for a team.",
        "rules:rules": "See what is judged and why; exempt from it until a day.",
        "entropy:entropy": "Measure the distance between declared and observed.",
        "ask:status": "Say what is known, how complete and how fresh it is.",
    },
    RUN: {
        "home:demo": "Try it all on a simulated organisation.",
        "home:init": "Make the home: settings, an example estate, the database.",
        "home:sync": "Read, observe, take in events, judge the difference.",
        "home:serve": "Serve the console and the API, and run jobs.",
        "home:worker": "Run jobs beside a server on another machine.",
        "plan:plan": "Ask for changes, decide them, apply them, take them back.",
        "access:login": "Sign in to a server in a browser.",
        "access:logout": "Revoke and forget what login kept.",
    },
    KEEP: {
        "access:whoami": "Say who asks, in which groups, with which roles.",
        "access:token": "Make, list and revoke API tokens.",
        "access:access": "Look after principals, service accounts and sessions.",
        "keep:audit": "Verify, read, sign and export the audit chain.",
        "break_glass:can": "Ask whether one may, and what is lacking.",
        "break_glass:break_glass": "Take more rights for a short time, with a reason that everyone sees.",
        "notices:notices": "See who was told what; test a channel, try again, mute.",
        "notices:schedules": "List what the workers ask for by themselves.",
        "keep:completion": "Print the completion script of a shell.",
    },
}
"""Each command, and the line that ``uwu --help`` shows of it: the command itself is not imported for that."""

INTERRUPTED = 130

LAZY = "uwu.app.cli."
"""Commands are imported when they are called: ``uwu --help`` stays quick."""


EVERYWHERE = Group("Everywhere", sort_key=9)


def build() -> App:
    """The command tree: uwu's own commands, and those of the installed domains."""
    app = App(name="uwu", help=HELP, version=__version__, version_flags=["--version", "-V"], help_format="plaintext")
    app["--help"].group = app["--version"].group = EVERYWHERE
    for group, commands in COMMANDS.items():
        for reference, summary in commands.items():
            app.command(
                f"{LAZY}{reference}", name=reference.partition(":")[2].replace("_", "-"), group=group, help=summary
            )
    for each in domain.installed():
        if each.commands:
            app.command(each.commands, name=each.name, group=ASK, help=each.summary or each.title)
    return app


def run(arguments: list[str]) -> int:
    """Runs one command line and gives its exit status."""
    from uwu.app.cli import logs

    logs.configure()
    try:
        app = build()
    except UwuError as error:  # a domain that does not load
        return Session(json="--json" in arguments, home=None).fail(error)
    status = 0

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        json: Annotated[
            bool,
            Parameter(
                group=EVERYWHERE,
                negative="",
                show_default=False,
                help="Answer with JSON: errors too, on standard error.",
            ),
        ] = False,
        home: Annotated[
            Path | None, Parameter(group=EVERYWHERE, help="The home instead of $UWU_HOME or ~/.uwu.")
        ] = None,
    ) -> None:
        nonlocal status
        session = Session(json=json, home=home)
        try:
            command, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
            given: dict[str, Any] = dict.fromkeys(ignored, session)
            status = session.answer(command(*bound.args, **bound.kwargs, **given))
        except UwuError as error:
            if os.environ.get("UWU_DEBUG"):
                raise
            status = session.fail(error)
        finally:
            session.close()

    try:
        app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return Session(json="--json" in arguments, home=None).fail(_misfit(error))
    return status


def _misfit(error: CycloptsError) -> BadInput:
    """A command line that does not fit, in one sentence; what else there is, the help tells."""
    told = " ".join(str(error).split()).partition(" Available commands:")[0]
    chain = " ".join(error.command_chain or ()) if error.command_chain else ""
    return BadInput(told, code="usage", hint=f"{' '.join(['uwu', *chain.split()])} --help tells what there is")


def main() -> None:
    """The entry point ``uwu``."""
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        # whoever reads us (head, less) has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:
        if os.environ.get("UWU_DEBUG"):
            raise
        sys.stderr.write(
            f"error {type(error).__name__}: {error}\n hint this is a defect of uwu; UWU_DEBUG=1 shows where\n"
        )
        status = 1
    sys.exit(status)
