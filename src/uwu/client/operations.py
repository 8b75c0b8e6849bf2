"""One method for each operation of the API. Written by ``make reference`` from the routes, not by hand."""

# ruff: noqa: E501

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

if TYPE_CHECKING:
    import uwu.app.api.access
    import uwu.app.api.audit
    import uwu.app.api.break_glass
    import uwu.app.api.graph
    import uwu.app.api.notices
    import uwu.app.api.owning
    import uwu.app.api.plans
    import uwu.app.api.rights
    import uwu.app.api.rules
    import uwu.app.api.work
    import uwu.app.api.world
    import uwu.domains.catalog.oncall
    import uwu.domains.catalog.scorecards.api
    import uwu.domains.catalog.scorecards.model
    import uwu.domains.catalog.scorecards.store
    import uwu.domains.iac.api
    import uwu.domains.iac.coverage
    import uwu.domains.iac.registry.api
    import uwu.domains.iac.registry.store
    import uwu.domains.iac.runs.api
    import uwu.domains.iac.runs.store
    import uwu.domains.iac.stacks.adopt
    import uwu.domains.iac.stacks.api
    import uwu.domains.iac.stacks.view
    import uwu.domains.iac.state_diff
    import uwu.domains.iac.state_store
    import uwu.domains.inventory.api
    import uwu.domains.inventory.told
    import uwu.domains.trail.api
    import uwu.domains.trail.api_pipeline
    import uwu.domains.trail.changes
    import uwu.domains.trail.detect.alerts
    import uwu.domains.trail.detect.api
    import uwu.domains.trail.detect.service
    import uwu.domains.trail.digests.ledger
    import uwu.domains.trail.events
    import uwu.domains.trail.original
    import uwu.domains.trail.privilege.service
    import uwu.domains.trail.standing
    import uwu.kernel.audit.chain
    import uwu.kernel.audit.checkpoints
    import uwu.kernel.declared
    import uwu.kernel.drift
    import uwu.kernel.effective
    import uwu.kernel.entity_history
    import uwu.kernel.entropy.days
    import uwu.kernel.entropy.formula
    import uwu.kernel.entropy.parts
    import uwu.kernel.exemptions
    import uwu.kernel.explain
    import uwu.kernel.exposure
    import uwu.kernel.graph.diff
    import uwu.kernel.graph.ledger
    import uwu.kernel.graph.over_time
    import uwu.kernel.graph.read
    import uwu.kernel.identity.principals
    import uwu.kernel.identity.sessions
    import uwu.kernel.identity.tokens
    import uwu.kernel.jobs
    import uwu.kernel.ledger
    import uwu.kernel.model
    import uwu.kernel.notify.deliver
    import uwu.kernel.notify.notices
    import uwu.kernel.ownership
    import uwu.kernel.paths
    import uwu.kernel.plans.store
    import uwu.kernel.plans.view
    import uwu.kernel.query
    import uwu.kernel.rulebook
    import uwu.kernel.schedules
    import uwu.kernel.search


class Operations(ABC):
    """Every operation of the API, by its operation id. What they answer with are the kernel's own nouns.

    Each raises the ``UwuError`` that the API tells: ``BadInput``, ``NotFound``, ``Conflict``, ``Denied``, ...
    """

    @abstractmethod
    def call(
        self,
        method: str,
        path: str,
        gives: str,
        *,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        """Asks for one operation; ``gives`` names the type of its answer. See ``Client``."""

    @abstractmethod
    def lines(self, path: str) -> Iterator[Any]:
        """The JSON values of a stream, one a line, as they come."""

    @staticmethod
    @abstractmethod
    def query(given: dict[str, Any]) -> str:
        """``given`` as the query of an address; what is None is left out."""

    def bootstrap_admin(
        self,
        *,
        again: bool = False,
    ) -> uwu.app.api.access.BootstrapMade:
        """Makes the first admin and shows its token, this once; only for whoever holds the home itself."""
        return self.call("POST", "/access/bootstrap", "uwu.app.api.access:BootstrapMade", body={"again": again})

    def get_assumers(
        self,
        subject: str,
    ) -> uwu.app.api.graph.Assumers:
        """Who may assume the role ``subject``, by its trust policy and the policies of identities; 404 for no role."""
        return self.call("GET", "/assumers", "uwu.app.api.graph:Assumers", query={"subject": subject})

    def list_audit(
        self,
        *,
        actor: str = "",
        action: str = "",
        subject: str = "",
        since: str = "",
        until: str = "",
        limit: int = 100,
        after: str = "",
    ) -> uwu.app.api.audit.Entries:
        """The audit, newest first. ``action`` may end in ``.*``; ``since`` and ``until`` are a time or a day (UTC)."""
        return self.call(
            "GET",
            "/audit",
            "uwu.app.api.audit:Entries",
            query={
                "actor": actor or None,
                "action": action or None,
                "subject": subject or None,
                "since": since or None,
                "until": until or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_audit(
        self,
        *,
        actor: str = "",
        action: str = "",
        subject: str = "",
        since: str = "",
        until: str = "",
        limit: int = 100,
    ) -> Iterator[uwu.kernel.audit.chain.Entry]:
        """Every item of ``list_audit``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_audit(
                actor=actor, action=action, subject=subject, since=since, until=until, limit=limit, after=after
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def sign_audit(
        self,
    ) -> uwu.kernel.audit.checkpoints.Checkpoint | None:
        """Signs where the chain stands now; the last checkpoint where nothing is new, null for an empty chain."""
        return self.call("POST", "/audit/checkpoint", "uwu.kernel.audit.checkpoints:Checkpoint?")

    def export_audit(
        self,
        *,
        actor: str = "",
        action: str = "",
        subject: str = "",
        since: str = "",
        until: str = "",
    ) -> Iterator[Any]:
        """Every entry as JSON lines, oldest first, as ``uwu audit verify --file`` verifies them."""
        return self.lines(
            "/audit/export"
            + self.query(
                {
                    "actor": actor or None,
                    "action": action or None,
                    "subject": subject or None,
                    "since": since or None,
                    "until": until or None,
                }
            )
        )

    def get_audit_key(
        self,
    ) -> uwu.app.api.audit.PublicKey:
        """The public key of the checkpoints, as PEM, and where they are kept."""
        return self.call("GET", "/audit/key", "uwu.app.api.audit:PublicKey")

    def verify_audit(
        self,
    ) -> uwu.kernel.audit.chain.Verdict:
        """Walks the whole chain, compares it with every checkpoint, and names the first entry that does not hold."""
        return self.call("GET", "/audit/verify", "uwu.kernel.audit.chain:Verdict")

    def compare_audit(
        self,
        marks: list[uwu.app.api.audit.Mark],
    ) -> uwu.kernel.audit.chain.Verdict:
        """Walks the whole chain and compares it with hashes that the caller has kept."""
        return self.call("POST", "/audit/verify", "uwu.kernel.audit.chain:Verdict", body={"marks": marks})

    def list_break_glass(
        self,
        *,
        active: bool = False,
        limit: int = 50,
    ) -> list[uwu.app.api.break_glass.GlassView]:
        """Who broke glass and why, newest first; with ``active`` only what is held now."""
        return self.call(
            "GET",
            "/break-glass",
            "list[uwu.app.api.break_glass:GlassView]",
            query={"active": active or None, "limit": limit},
        )

    def open_break_glass(
        self,
        reason: str,
        *,
        minutes: int = 30,
    ) -> uwu.app.api.break_glass.GlassView:
        """Takes more rights for a few minutes. Everyone sees it, and why; it ends by itself."""
        return self.call(
            "POST", "/break-glass", "uwu.app.api.break_glass:GlassView", body={"reason": reason, "minutes": minutes}
        )

    def end_break_glass(
        self,
        id: str,
    ) -> uwu.app.api.break_glass.GlassView:
        """Ends a break-glass before its time: one's own, or as an admin another's."""
        return self.call("POST", f"/break-glass/{quote(id, safe='')}/end", "uwu.app.api.break_glass:GlassView")

    def list_changes(
        self,
        *,
        subject: str = "",
        hours: int = 24,
        limit: int = 100,
    ) -> list[uwu.kernel.model.Change]:
        """Successful writes, newest first: of one subject, or of everything in the last ``hours``."""
        return self.call(
            "GET",
            "/changes",
            "list[uwu.kernel.model:Change]",
            query={"subject": subject or None, "hours": hours, "limit": limit},
        )

    def list_channels(
        self,
    ) -> list[uwu.app.api.notices.ChannelState]:
        """The channels, and how their deliveries stand; never an address."""
        return self.call("GET", "/channels", "list[uwu.app.api.notices:ChannelState]")

    def test_channel(
        self,
        name: str,
    ) -> uwu.kernel.notify.deliver.Tested:
        """Sends one message by a channel at once, and says whether it was taken."""
        return self.call("POST", f"/channels/{quote(name, safe='')}/test", "uwu.kernel.notify.deliver:Tested")

    def list_coverage(
        self,
        *,
        account: str = "",
        region: str = "",
        type: str = "",
        status: Literal["complete", "denied", "throttled", "unsupported", "failed", "stale", ""] = "",
        code: str | None = None,
        run: str = "",
        incomplete: bool = False,
        holes: bool = False,
        late: bool = False,
        limit: int = 100,
        after: str = "",
    ) -> uwu.kernel.graph.ledger.Cells:
        """The coverage ledger: each cell, when it was observed, how it went, what it cost and which job wrote it.

        ``holes`` leaves out what AWS does not offer; ``late`` keeps the complete cells whose next look is overdue.
        """
        return self.call(
            "GET",
            "/coverage",
            "uwu.kernel.graph.ledger:Cells",
            query={
                "account": account or None,
                "region": region or None,
                "type": type or None,
                "status": status or None,
                "code": code,
                "run": run or None,
                "incomplete": incomplete or None,
                "holes": holes or None,
                "late": late or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_coverage(
        self,
        *,
        account: str = "",
        region: str = "",
        type: str = "",
        status: Literal["complete", "denied", "throttled", "unsupported", "failed", "stale", ""] = "",
        code: str | None = None,
        run: str = "",
        incomplete: bool = False,
        holes: bool = False,
        late: bool = False,
        limit: int = 100,
    ) -> Iterator[uwu.kernel.graph.ledger.Covered]:
        """Every item of ``list_coverage``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_coverage(
                account=account,
                region=region,
                type=type,
                status=status,
                code=code,
                run=run,
                incomplete=incomplete,
                holes=holes,
                late=late,
                limit=limit,
                after=after,
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def list_coverage_causes(
        self,
        *,
        account: str = "",
        region: str = "",
        type: str = "",
        run: str = "",
        limit: int = 100,
        after: str = "",
    ) -> uwu.kernel.ledger.Causes:
        """Why cells are not complete: one line for each cause, with the actions that are denied and what to do."""
        return self.call(
            "GET",
            "/coverage/causes",
            "uwu.kernel.ledger:Causes",
            query={
                "account": account or None,
                "region": region or None,
                "type": type or None,
                "run": run or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_coverage_causes(
        self,
        *,
        account: str = "",
        region: str = "",
        type: str = "",
        run: str = "",
        limit: int = 100,
    ) -> Iterator[uwu.kernel.ledger.Cause]:
        """Every item of ``list_coverage_causes``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_coverage_causes(
                account=account, region=region, type=type, run=run, limit=limit, after=after
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def list_coverage_sums(
        self,
        *,
        by: Literal["account", "region", "type", "status", "run"] = "account",
        account: str = "",
        region: str = "",
        type: str = "",
        run: str = "",
        limit: int = 100,
        after: str = "",
    ) -> uwu.kernel.ledger.Sums:
        """How each account, region, type, status or run was seen and what that cost, those with the most holes first.

        ``total`` is all that was asked for, on all pages.
        """
        return self.call(
            "GET",
            "/coverage/sums",
            "uwu.kernel.ledger:Sums",
            query={
                "by": by,
                "account": account or None,
                "region": region or None,
                "type": type or None,
                "run": run or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_coverage_sums(
        self,
        *,
        by: Literal["account", "region", "type", "status", "run"] = "account",
        account: str = "",
        region: str = "",
        type: str = "",
        run: str = "",
        limit: int = 100,
    ) -> Iterator[uwu.kernel.ledger.Sum]:
        """Every item of ``list_coverage_sums``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_coverage_sums(
                by=by, account=account, region=region, type=type, run=run, limit=limit, after=after
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def ask_device(
        self,
        *,
        client: str = "",
    ) -> uwu.app.api.access.DeviceAsked:
        """Begins the sign-in of a device without a browser: it shows a code, a person lets it in, it asks for its token."""
        return self.call("POST", "/device", "uwu.app.api.access:DeviceAsked", body={"client": client})

    def collect_device_token(
        self,
        device_code: str,
    ) -> uwu.app.api.access.TokenMade:
        """The token of a device that was let in, once. 400 ``authorization-pending`` while nobody has decided,
        ``access-denied`` or ``expired-token`` where it is over.
        """
        return self.call("POST", "/device/token", "uwu.app.api.access:TokenMade", body={"device_code": device_code})

    def get_diff(
        self,
        since: str,
        *,
        until: str = "now",
        type: str = "",
        account: str = "",
        owner: str | None = None,
        how: Literal["added", "changed", "removed", ""] = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.kernel.graph.diff.Diff:
        """What was added, changed and removed between two times, by urn, each with the events that did it.

        ``since`` and ``until`` are ISO 8601, a day, or so long ago: 3h, 2d. ``owner=`` (empty) asks for the unowned.
        """
        return self.call(
            "GET",
            "/diff",
            "uwu.kernel.graph.diff:Diff",
            query={
                "since": since,
                "until": until,
                "type": type or None,
                "account": account or None,
                "owner": owner,
                "how": how or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_get_diff(
        self,
        since: str,
        *,
        until: str = "now",
        type: str = "",
        account: str = "",
        owner: str | None = None,
        how: Literal["added", "changed", "removed", ""] = "",
        limit: int = 50,
    ) -> Iterator[uwu.kernel.graph.diff.ResourceChange]:
        """Every item of ``get_diff``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.get_diff(
                since=since, until=until, type=type, account=account, owner=owner, how=how, limit=limit, after=after
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def list_entities(
        self,
        *,
        kind: str = "",
        orphan: bool | None = None,
        limit: int = 100,
        after: str = "",
    ) -> uwu.kernel.declared.Entities:
        """Declared entities by reference."""
        return self.call(
            "GET",
            "/entities",
            "uwu.kernel.declared:Entities",
            query={"kind": kind or None, "orphan": orphan, "limit": limit, "after": after or None},
        )

    def each_entities(
        self,
        *,
        kind: str = "",
        orphan: bool | None = None,
        limit: int = 100,
    ) -> Iterator[uwu.kernel.model.Entity]:
        """Every item of ``list_entities``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_entities(kind=kind, orphan=orphan, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_entity(
        self,
        ref: str,
    ) -> uwu.app.api.world.EntityView:
        """One entity by its reference or its name, with its relations."""
        return self.call("GET", "/entity", "uwu.app.api.world:EntityView", query={"ref": ref})

    def get_entity_history(
        self,
        ref: str,
        *,
        limit: int = 50,
        after: str = "",
    ) -> uwu.kernel.entity_history.EntityVersions:
        """What an entity was declared as, newest first, with what changed each time."""
        return self.call(
            "GET",
            "/entity/history",
            "uwu.kernel.entity_history:EntityVersions",
            query={"ref": ref, "limit": limit, "after": after or None},
        )

    def each_get_entity_history(
        self,
        ref: str,
        *,
        limit: int = 50,
    ) -> Iterator[uwu.kernel.entity_history.EntityVersion]:
        """Every item of ``get_entity_history``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.get_entity_history(ref=ref, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_entropy(
        self,
    ) -> list[uwu.kernel.entropy.formula.Score]:
        """The entropy of the whole, of each domain, service, owner and account, as it was measured last."""
        return self.call("GET", "/entropy", "list[uwu.kernel.entropy.formula:Score]")

    def get_entropy_history(
        self,
        *,
        of: Literal["all", "domain", "service", "owner", "account"] = "all",
        key: str = "",
        days: int = 30,
    ) -> list[uwu.kernel.entropy.days.Day]:
        """One scope by day, the oldest first; empty where it was never measured in these days."""
        return self.call(
            "GET",
            "/entropy/history",
            "list[uwu.kernel.entropy.days:Day]",
            query={"of": of, "key": key or None, "days": days},
        )

    def get_entropy_rows(
        self,
        of: str,
        *,
        key: str = "",
        limit: int = 100,
        after: str = "",
    ) -> uwu.kernel.entropy.parts.Parts:
        """What the number of a scope is made of: each finding's share, the largest first.

        The shares of all pages sum to ``exact``; ``entropy`` is that to two decimals.
        """
        return self.call(
            "GET",
            f"/entropy/{quote(of, safe='')}",
            "uwu.kernel.entropy.parts:Parts",
            query={"key": key or None, "limit": limit, "after": after or None},
        )

    def each_get_entropy_rows(
        self,
        of: str,
        *,
        key: str = "",
        limit: int = 100,
    ) -> Iterator[uwu.kernel.entropy.parts.Share]:
        """Every item of ``get_entropy_rows``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.get_entropy_rows(of=of, key=key, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def list_exemptions(
        self,
        *,
        rule: str = "",
        ended: bool = False,
        limit: int = 100,
        after: str = "",
    ) -> uwu.kernel.exemptions.Exemptions:
        """The exemptions that hold, the first to end first; with ``ended`` those that have ended too."""
        return self.call(
            "GET",
            "/exemptions",
            "uwu.kernel.exemptions:Exemptions",
            query={"rule": rule or None, "ended": ended or None, "limit": limit, "after": after or None},
        )

    def each_exemptions(
        self,
        *,
        rule: str = "",
        ended: bool = False,
        limit: int = 100,
    ) -> Iterator[uwu.kernel.exemptions.Exemption]:
        """Every item of ``list_exemptions``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_exemptions(rule=rule, ended=ended, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def add_exemption(
        self,
        rule: str,
        until: str,
        reason: str,
        *,
        subject: str = "",
        account: str = "",
    ) -> uwu.kernel.exemptions.Exemption:
        """Exempts a subject, or all of an account, from a rule until a day. Its findings are hidden at once."""
        return self.call(
            "POST",
            "/exemptions",
            "uwu.kernel.exemptions:Exemption",
            body={"rule": rule, "subject": subject, "account": account, "until": until, "reason": reason},
        )

    def get_exemption(
        self,
        id: str,
    ) -> uwu.kernel.exemptions.Exemption:
        """One exemption, whether it holds or has ended."""
        return self.call("GET", f"/exemptions/{quote(id, safe='')}", "uwu.kernel.exemptions:Exemption")

    def end_exemption(
        self,
        id: str,
    ) -> uwu.kernel.exemptions.Exemption:
        """Ends an exemption before its time: its findings are back at once."""
        return self.call("POST", f"/exemptions/{quote(id, safe='')}/end", "uwu.kernel.exemptions:Exemption")

    def get_explanation(
        self,
        subject: str,
        *,
        at: str = "",
    ) -> uwu.kernel.explain.Story:
        """The whole story of a subject: declared, observed, owned, changed by whom, and what puts it right.

        ``at`` asks for the story of a past time (ISO 8601, a day, or so long ago: 3h, 2d).
        """
        return self.call("GET", "/explain", "uwu.kernel.explain:Story", query={"subject": subject, "at": at or None})

    def get_exposure(
        self,
        subject: str,
    ) -> uwu.kernel.exposure.Exposure:
        """Whether anyone on the internet reaches ``subject``, by what path and on which ports; 404 for what has none."""
        return self.call("GET", "/exposure", "uwu.kernel.exposure:Exposure", query={"subject": subject})

    def list_findings(
        self,
        *,
        status: Literal["unresolved", "open", "stale", "closed", "exempt", "all"] = "unresolved",
        severity: Literal["critical", "high", "medium", "low", ""] = "",
        rule: str = "",
        domain: str = "",
        owner: str | None = None,
        account: str = "",
        type: str = "",
        actor: str = "",
        subject: str = "",
        text: str = "",
        at: str = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.kernel.drift.Findings:
        """Findings, the most severe first. ``status`` is open, stale, closed, exempt, unresolved or all.

        ``at`` asks for those that were unresolved at a past time (ISO 8601, a day, or so long ago: 3h, 2d).
        """
        return self.call(
            "GET",
            "/findings",
            "uwu.kernel.drift:Findings",
            query={
                "status": status,
                "severity": severity or None,
                "rule": rule or None,
                "domain": domain or None,
                "owner": owner,
                "account": account or None,
                "type": type or None,
                "actor": actor or None,
                "subject": subject or None,
                "text": text or None,
                "at": at or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_findings(
        self,
        *,
        status: Literal["unresolved", "open", "stale", "closed", "exempt", "all"] = "unresolved",
        severity: Literal["critical", "high", "medium", "low", ""] = "",
        rule: str = "",
        domain: str = "",
        owner: str | None = None,
        account: str = "",
        type: str = "",
        actor: str = "",
        subject: str = "",
        text: str = "",
        at: str = "",
        limit: int = 50,
    ) -> Iterator[uwu.kernel.model.Finding]:
        """Every item of ``list_findings``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_findings(
                status=status,
                severity=severity,
                rule=rule,
                domain=domain,
                owner=owner,
                account=account,
                type=type,
                actor=actor,
                subject=subject,
                text=text,
                at=at,
                limit=limit,
                after=after,
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def get_finding(
        self,
        id: str,
    ) -> uwu.kernel.model.Finding:
        """One finding."""
        return self.call("GET", f"/findings/{quote(id, safe='')}", "uwu.kernel.model:Finding")

    def get_graded(
        self,
        entity: str,
        *,
        card: str = "",
    ) -> list[uwu.domains.catalog.scorecards.model.Graded]:
        """How one entity stands on each scorecard: every verdict in words, since when, and the proofs behind it."""
        return self.call(
            "GET",
            "/graded",
            "list[uwu.domains.catalog.scorecards.model:Graded]",
            query={"entity": entity, "card": card or None},
        )

    def get_history(
        self,
        subject: str,
        *,
        limit: int = 50,
        after: str = "",
    ) -> uwu.kernel.graph.over_time.Versions:
        """The versions of a resource, newest first."""
        return self.call(
            "GET",
            "/history",
            "uwu.kernel.graph.over_time:Versions",
            query={"subject": subject, "limit": limit, "after": after or None},
        )

    def each_get_history(
        self,
        subject: str,
        *,
        limit: int = 50,
    ) -> Iterator[uwu.kernel.graph.over_time.Version]:
        """Every item of ``get_history``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.get_history(subject=subject, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_coverage(
        self,
    ) -> uwu.domains.iac.coverage.Coverage:
        """How much of what is observed a state holds: by account, owner and type, the least managed first."""
        return self.call("GET", "/iac/coverage", "uwu.domains.iac.coverage:Coverage")

    def list_modules(
        self,
        *,
        search: str = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.domains.iac.registry.store.ListedPage:
        """The modules that are kept here, by name."""
        return self.call(
            "GET",
            "/iac/modules",
            "uwu.domains.iac.registry.store:ListedPage",
            query={"search": search or None, "limit": limit, "after": after or None},
        )

    def each_modules(
        self,
        *,
        search: str = "",
        limit: int = 50,
    ) -> Iterator[uwu.domains.iac.registry.store.Listed]:
        """Every item of ``list_modules``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_modules(search=search, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_module(
        self,
        namespace: str,
        name: str,
        system: str,
        *,
        version: str = "",
    ) -> uwu.domains.iac.registry.api.ModulePage:
        """A module: its versions, and the docs of ``version``; of the newest where none is named."""
        return self.call(
            "GET",
            f"/iac/modules/{quote(namespace, safe='')}/{quote(name, safe='')}/{quote(system, safe='')}",
            "uwu.domains.iac.registry.api:ModulePage",
            query={"version": version or None},
        )

    def yank_module(
        self,
        namespace: str,
        name: str,
        system: str,
        version: str,
        reason: str,
    ) -> uwu.domains.iac.registry.api.Packages:
        """Takes a version of a module out of what is offered."""
        return self.call(
            "POST",
            f"/iac/modules/{quote(namespace, safe='')}/{quote(name, safe='')}/{quote(system, safe='')}/yank",
            "uwu.domains.iac.registry.api:Packages",
            body={"version": version, "reason": reason},
        )

    def list_providers(
        self,
        *,
        search: str = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.domains.iac.registry.store.ListedPage:
        """The providers that are kept here, by name."""
        return self.call(
            "GET",
            "/iac/providers",
            "uwu.domains.iac.registry.store:ListedPage",
            query={"search": search or None, "limit": limit, "after": after or None},
        )

    def each_providers(
        self,
        *,
        search: str = "",
        limit: int = 50,
    ) -> Iterator[uwu.domains.iac.registry.store.Listed]:
        """Every item of ``list_providers``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_providers(search=search, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_provider(
        self,
        host: str,
        namespace: str,
        type_: str,
    ) -> uwu.domains.iac.registry.api.Packages:
        """The archives of a provider."""
        return self.call(
            "GET",
            f"/iac/providers/{quote(host, safe='')}/{quote(namespace, safe='')}/{quote(type_, safe='')}",
            "uwu.domains.iac.registry.api:Packages",
        )

    def yank_provider(
        self,
        host: str,
        namespace: str,
        type_: str,
        version: str,
        reason: str,
    ) -> uwu.domains.iac.registry.api.Packages:
        """Takes a version of a provider out of what is offered."""
        return self.call(
            "POST",
            f"/iac/providers/{quote(host, safe='')}/{quote(namespace, safe='')}/{quote(type_, safe='')}/yank",
            "uwu.domains.iac.registry.api:Packages",
            body={"version": version, "reason": reason},
        )

    def list_runs(
        self,
        *,
        stack: str = "",
        status: str = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.domains.iac.runs.store.RunPage:
        """Runs, the newest first; of one stack, or of one status."""
        return self.call(
            "GET",
            "/iac/runs",
            "uwu.domains.iac.runs.store:RunPage",
            query={"stack": stack or None, "status": status or None, "limit": limit, "after": after or None},
        )

    def each_runs(
        self,
        *,
        stack: str = "",
        status: str = "",
        limit: int = 50,
    ) -> Iterator[uwu.domains.iac.runs.store.Run]:
        """Every item of ``list_runs``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_runs(stack=stack, status=status, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_run(
        self,
        id: str,
    ) -> uwu.domains.iac.runs.store.Run:
        """One run by its id or its number."""
        return self.call("GET", f"/iac/runs/{quote(id, safe='')}", "uwu.domains.iac.runs.store:Run")

    def cancel_run(
        self,
        id: str,
    ) -> uwu.domains.iac.runs.store.Run:
        """Stops a run. What is applied is interrupted as with Ctrl-C: what was begun ends, and the state is written."""
        return self.call("POST", f"/iac/runs/{quote(id, safe='')}/cancel", "uwu.domains.iac.runs.store:Run")

    def get_run_log(
        self,
        id: str,
        *,
        after_line: int = 0,
        limit: int = 1000,
    ) -> uwu.domains.iac.runs.api.Log:
        """The log of a run, from the line after ``after_line``. Secrets that are known stand in it as marks."""
        return self.call(
            "GET",
            f"/iac/runs/{quote(id, safe='')}/log",
            "uwu.domains.iac.runs.api:Log",
            query={"after_line": after_line or None, "limit": limit},
        )

    def get_run_plan(
        self,
        id: str,
    ) -> uwu.domains.iac.runs.api.Found:
        """What a run would change, which rules it breaks, and what depends on what it destroys. Raises ``NotFound`` before
        it has planned.
        """
        return self.call("GET", f"/iac/runs/{quote(id, safe='')}/plan", "uwu.domains.iac.runs.api:Found")

    def retry_run(
        self,
        id: str,
    ) -> uwu.domains.iac.runs.api.Started:
        """Asks for the same again, once a run has ended."""
        return self.call("POST", f"/iac/runs/{quote(id, safe='')}/retry", "uwu.domains.iac.runs.api:Started")

    def get_stack(
        self,
        namespace: str,
        name: str,
    ) -> uwu.domains.iac.stacks.view.StackView:
        """A stack: its inputs, its outputs without secrets, what it needs and who needs it."""
        return self.call(
            "GET",
            f"/iac/stacks/{quote(namespace, safe='')}/{quote(name, safe='')}",
            "uwu.domains.iac.stacks.view:StackView",
        )

    def import_resources(
        self,
        namespace: str,
        name: str,
        *,
        resources: list[str] | None = None,
        dry_run: bool = False,
    ) -> uwu.domains.iac.stacks.adopt.Adoption:
        """Writes `import` blocks for what no state holds into the stack's folder, or tells what it would write."""
        return self.call(
            "POST",
            f"/iac/stacks/{quote(namespace, safe='')}/{quote(name, safe='')}/import",
            "uwu.domains.iac.stacks.adopt:Adoption",
            body={"resources": resources, "dry_run": dry_run},
        )

    def reveal_output(
        self,
        namespace: str,
        name: str,
        output: str,
    ) -> uwu.domains.iac.stacks.api.Value:
        """The value of an output, a sensitive one too; the audit tells who has read it. The answer is not kept."""
        return self.call(
            "POST",
            f"/iac/stacks/{quote(namespace, safe='')}/{quote(name, safe='')}/outputs/{quote(output, safe='')}/reveal",
            "uwu.domains.iac.stacks.api:Value",
        )

    def start_run(
        self,
        namespace: str,
        name: str,
        *,
        reason: str = "",
        destroy: bool = False,
        speculative: bool = False,
        revision: str = "",
        force: bool = False,
        refresh_only: bool = False,
    ) -> uwu.domains.iac.runs.api.Started:
        """Asks for a run: it plans, and asks for approval where something would change and no rule stands against it."""
        return self.call(
            "POST",
            f"/iac/stacks/{quote(namespace, safe='')}/{quote(name, safe='')}/runs",
            "uwu.domains.iac.runs.api:Started",
            body={
                "reason": reason,
                "destroy": destroy,
                "speculative": speculative,
                "revision": revision,
                "force": force,
                "refresh_only": refresh_only,
            },
        )

    def list_states(
        self,
        *,
        namespace: str = "",
        search: str = "",
        owner: str = "",
        locked: Literal["", "yes", "no"] = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.domains.iac.state_store.StatePage:
        """The states that are kept, by namespace and name, each with its current version and its lock."""
        return self.call(
            "GET",
            "/iac/states",
            "uwu.domains.iac.state_store:StatePage",
            query={
                "namespace": namespace or None,
                "search": search or None,
                "owner": owner or None,
                "locked": locked or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_states(
        self,
        *,
        namespace: str = "",
        search: str = "",
        owner: str = "",
        locked: Literal["", "yes", "no"] = "",
        limit: int = 50,
    ) -> Iterator[uwu.domains.iac.state_store.State]:
        """Every item of ``list_states``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_states(
                namespace=namespace, search=search, owner=owner, locked=locked, limit=limit, after=after
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def get_state(
        self,
        namespace: str,
        name: str,
    ) -> uwu.domains.iac.state_store.State:
        """One state: whose it is, its current version, who holds its lock."""
        return self.call(
            "GET",
            f"/iac/states/{quote(namespace, safe='')}/{quote(name, safe='')}",
            "uwu.domains.iac.state_store:State",
        )

    def diff_state(
        self,
        namespace: str,
        name: str,
        *,
        old: int = 0,
        new: int = 0,
    ) -> uwu.domains.iac.state_diff.StateDiff:
        """What is different between the versions ``old`` and ``new``, without a secret. Where none is named these are the
        current one and the one before.
        """
        return self.call(
            "GET",
            f"/iac/states/{quote(namespace, safe='')}/{quote(name, safe='')}/diff",
            "uwu.domains.iac.state_diff:StateDiff",
            query={"old": old or None, "new": new or None},
        )

    def rollback_state(
        self,
        namespace: str,
        name: str,
        version: int,
    ) -> uwu.domains.iac.state_store.Version:
        """Brings an earlier version back as the newest, with a serial above the current one's."""
        return self.call(
            "POST",
            f"/iac/states/{quote(namespace, safe='')}/{quote(name, safe='')}/rollback",
            "uwu.domains.iac.state_store:Version",
            body={"version": version},
        )

    def unlock_state(
        self,
        namespace: str,
        name: str,
        *,
        id: str = "",
        reason: str = "",
    ) -> uwu.domains.iac.api.Unlocked:
        """Takes the lock away from whoever holds it, and tells who that was."""
        return self.call(
            "POST",
            f"/iac/states/{quote(namespace, safe='')}/{quote(name, safe='')}/unlock",
            "uwu.domains.iac.api:Unlocked",
            body={"id": id, "reason": reason},
        )

    def list_state_versions(
        self,
        namespace: str,
        name: str,
        *,
        limit: int = 50,
        after: str = "",
    ) -> uwu.domains.iac.state_store.VersionPage:
        """The versions of a state, the newest first."""
        return self.call(
            "GET",
            f"/iac/states/{quote(namespace, safe='')}/{quote(name, safe='')}/versions",
            "uwu.domains.iac.state_store:VersionPage",
            query={"limit": limit, "after": after or None},
        )

    def each_state_versions(
        self,
        namespace: str,
        name: str,
        *,
        limit: int = 50,
    ) -> Iterator[uwu.domains.iac.state_store.Version]:
        """Every item of ``list_state_versions``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_state_versions(namespace=namespace, name=name, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def list_catalog_operations(
        self,
        *,
        service: str = "",
        operation: str = "",
        limit: int = 100,
        after: str = "",
    ) -> uwu.domains.inventory.told.OperationPage:
        """The operations of AWS that list something, as the generated catalog knows them, by service and name; why those
        that make no type do not; and how many there are of each.
        """
        return self.call(
            "GET",
            "/inventory/catalog",
            "uwu.domains.inventory.told:OperationPage",
            query={"service": service or None, "operation": operation or None, "limit": limit, "after": after or None},
        )

    def each_catalog_operations(
        self,
        *,
        service: str = "",
        operation: str = "",
        limit: int = 100,
    ) -> Iterator[uwu.domains.inventory.told.OperationRow]:
        """Every item of ``list_catalog_operations``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_catalog_operations(service=service, operation=operation, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def refresh_resources(
        self,
        subjects: list[str],
    ) -> uwu.domains.inventory.api.Asked:
        """Reads resources in AWS again, each by itself and whole. The job's result tells the calls and what changed."""
        return self.call("POST", "/inventory/refresh", "uwu.domains.inventory.api:Asked", body={"subjects": subjects})

    def list_inventory_types(
        self,
        *,
        service: str = "",
        type: str = "",
        every: bool = False,
        limit: int = 100,
        after: str = "",
    ) -> uwu.domains.inventory.told.TypePage:
        """What is collected and by which call, by name. ``type`` is a name or a pattern (``aws_ec2_*``); ``every`` also
        gives what is known but not collected.
        """
        return self.call(
            "GET",
            "/inventory/types",
            "uwu.domains.inventory.told:TypePage",
            query={
                "service": service or None,
                "type": type or None,
                "every": every or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_inventory_types(
        self,
        *,
        service: str = "",
        type: str = "",
        every: bool = False,
        limit: int = 100,
    ) -> Iterator[uwu.domains.inventory.told.TypeRow]:
        """Every item of ``list_inventory_types``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_inventory_types(service=service, type=type, every=every, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def list_jobs(
        self,
        *,
        status: Literal["queued", "running", "done", "failed", "cancelled", ""] = "",
        name: str = "",
        parent: str = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.kernel.jobs.JobPage:
        """Jobs, newest first; the children of ``parent`` where it is given."""
        return self.call(
            "GET",
            "/jobs",
            "uwu.kernel.jobs:JobPage",
            query={
                "status": status or None,
                "name": name or None,
                "parent": parent or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_jobs(
        self,
        *,
        status: Literal["queued", "running", "done", "failed", "cancelled", ""] = "",
        name: str = "",
        parent: str = "",
        limit: int = 50,
    ) -> Iterator[uwu.kernel.jobs.JobRecord]:
        """Every item of ``list_jobs``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_jobs(status=status, name=name, parent=parent, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def ask_for_job(
        self,
        name: str,
        *,
        arguments: dict[str, Any] | None = None,
    ) -> uwu.app.api.work.Accepted:
        """Asks for a job: ``sync`` ({"domain": "inventory"} for one), or a job of a domain."""
        return self.call("POST", "/jobs", "uwu.app.api.work:Accepted", body={"name": name, "arguments": arguments})

    def get_job(
        self,
        id: str,
    ) -> uwu.kernel.jobs.JobRecord:
        """One job as it stands."""
        return self.call("GET", f"/jobs/{quote(id, safe='')}", "uwu.kernel.jobs:JobRecord")

    def cancel_job(
        self,
        id: str,
    ) -> uwu.kernel.jobs.JobRecord:
        """Stops a job: what it has recorded stays, what has not begun does not begin."""
        return self.call("POST", f"/jobs/{quote(id, safe='')}/cancel", "uwu.kernel.jobs:JobRecord")

    def follow_job(
        self,
        id: str,
        *,
        after_line: int = 0,
    ) -> Iterator[Any]:
        """The progress of a job as it happens: one JSON object a line, the last when it has finished.

        An empty line says that nothing happened for a while.
        """
        return self.lines(f"/jobs/{quote(id, safe='')}/events" + self.query({"after_line": after_line or None}))

    def get_job_log(
        self,
        id: str,
        *,
        after_line: int = 0,
    ) -> list[uwu.kernel.jobs.LogLine]:
        """The log of a job."""
        return self.call(
            "GET",
            f"/jobs/{quote(id, safe='')}/log",
            "list[uwu.kernel.jobs:LogLine]",
            query={"after_line": after_line or None},
        )

    def get_neighbours(
        self,
        subject: str,
        *,
        at: str = "",
        limit: int = 200,
    ) -> list[uwu.kernel.model.Relation]:
        """The relations from and to a resource or an entity: the current ones, or those that held ``at`` a past time."""
        return self.call(
            "GET",
            "/neighbours",
            "list[uwu.kernel.model:Relation]",
            query={"subject": subject, "at": at or None, "limit": limit},
        )

    def list_notices(
        self,
        *,
        status: Literal["", "waiting", "sent", "failed", "muted", "untold"] = "",
        kind: str = "",
        owner: str | None = None,
        channel: str = "",
        subject: str = "",
        message: str = "",
        text: str = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.kernel.notify.notices.Page:
        """What was told to whom, newest first. ``kind`` may end in ``.*``; ``status=untold``: no channel took it."""
        return self.call(
            "GET",
            "/notices",
            "uwu.kernel.notify.notices:Page",
            query={
                "status": status or None,
                "kind": kind or None,
                "owner": owner,
                "channel": channel or None,
                "subject": subject or None,
                "message": message or None,
                "text": text or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_notices(
        self,
        *,
        status: Literal["", "waiting", "sent", "failed", "muted", "untold"] = "",
        kind: str = "",
        owner: str | None = None,
        channel: str = "",
        subject: str = "",
        message: str = "",
        text: str = "",
        limit: int = 50,
    ) -> Iterator[uwu.kernel.notify.notices.Row]:
        """Every item of ``list_notices``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_notices(
                status=status,
                kind=kind,
                owner=owner,
                channel=channel,
                subject=subject,
                message=message,
                text=text,
                limit=limit,
                after=after,
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def mute_notices(
        self,
        subject: str,
        hours: int,
        *,
        reason: str = "",
    ) -> uwu.app.api.notices.Muted:
        """Sends nothing about a subject for some hours; 0 hours end that."""
        return self.call(
            "POST",
            "/notices/mute",
            "uwu.app.api.notices:Muted",
            body={"subject": subject, "hours": hours, "reason": reason},
        )

    def retry_notices(
        self,
        *,
        notice: str = "",
    ) -> uwu.app.api.notices.Retried:
        """Gives failed deliveries their tries again, at once."""
        return self.call("POST", "/notices/retry", "uwu.app.api.notices:Retried", body={"notice": notice})

    def get_on_call(
        self,
        team: str,
    ) -> uwu.domains.catalog.oncall.Duty:
        """Who is on call for a team now, until when, and who follows."""
        return self.call("GET", "/oncall", "uwu.domains.catalog.oncall:Duty", query={"team": team})

    def get_ownership(
        self,
    ) -> uwu.app.api.owning.Ownership:
        """How much is owned: in all, of each account, by each owner, and how much of that somebody has said."""
        return self.call("GET", "/ownership", "uwu.app.api.owning:Ownership")

    def list_conflicts(
        self,
        *,
        limit: int = 50,
        after: str = "",
    ) -> uwu.kernel.ownership.Disputes:
        """What evidence disagrees about and nobody has settled, with all evidence, by subject."""
        return self.call(
            "GET",
            "/ownership/conflicts",
            "uwu.kernel.ownership:Disputes",
            query={"limit": limit, "after": after or None},
        )

    def each_conflicts(
        self,
        *,
        limit: int = 50,
    ) -> Iterator[uwu.kernel.ownership.Owned]:
        """Every item of ``list_conflicts``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_conflicts(limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_paths(
        self,
        source: str,
        target: str,
        *,
        kinds: str = "",
        direction: Literal["out", "in", "any"] = "any",
        length: int = 8,
        at: str = "",
        limit: int = 5,
    ) -> uwu.kernel.paths.Paths:
        """The ways from ``source`` to ``target``, shortest first, of at most ``length`` hops.

        ``kinds`` is a list with commas of the relations to follow; ``direction`` follows them forwards (``out``), backwards
        (``in``) or both ways. ``no`` is proven by complete cells, ``unknown`` says which cells lack. ``at``: as of then.
        """
        return self.call(
            "GET",
            "/paths",
            "uwu.kernel.paths:Paths",
            query={
                "source": source,
                "target": target,
                "kinds": kinds or None,
                "direction": direction,
                "length": length,
                "at": at or None,
                "limit": limit,
            },
        )

    def list_planners(
        self,
        *,
        finding: str = "",
    ) -> list[uwu.app.api.plans.PlannerView]:
        """The planners; with ``finding`` the one that can mend it, if any."""
        return self.call("GET", "/planners", "list[uwu.app.api.plans:PlannerView]", query={"finding": finding or None})

    def list_plans(
        self,
        *,
        status: Literal[
            "",
            "open",
            "waiting",
            "approved",
            "applying",
            "applied",
            "failed",
            "rejected",
            "withdrawn",
            "expired",
            "void",
        ] = "",
        domain: str = "",
        owner: str = "",
        subject: str = "",
        requested_by: str = "",
        mine: bool = False,
        limit: int = 50,
        after: str = "",
    ) -> uwu.kernel.plans.store.PlanPage:
        """Plans, the newest first. ``status=open``: waiting, approved or applying; ``mine``: those that wait for me."""
        return self.call(
            "GET",
            "/plans",
            "uwu.kernel.plans.store:PlanPage",
            query={
                "status": status or None,
                "domain": domain or None,
                "owner": owner or None,
                "subject": subject or None,
                "requested_by": requested_by or None,
                "mine": mine or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_plans(
        self,
        *,
        status: Literal[
            "",
            "open",
            "waiting",
            "approved",
            "applying",
            "applied",
            "failed",
            "rejected",
            "withdrawn",
            "expired",
            "void",
        ] = "",
        domain: str = "",
        owner: str = "",
        subject: str = "",
        requested_by: str = "",
        mine: bool = False,
        limit: int = 50,
    ) -> Iterator[uwu.kernel.plans.store.PlanLine]:
        """Every item of ``list_plans``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_plans(
                status=status,
                domain=domain,
                owner=owner,
                subject=subject,
                requested_by=requested_by,
                mine=mine,
                limit=limit,
                after=after,
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def ask_for_plan(
        self,
        planner: str,
        request: dict[str, Any],
        reason: str,
        *,
        force: bool = False,
    ) -> uwu.app.api.plans.Requested:
        """Plans from what is known now, and keeps the plan for approval: 201; 200 where none was made anew.

        An empty plan is told and not kept; a plan that is asked for twice is given again.
        """
        return self.call(
            "POST",
            "/plans",
            "uwu.app.api.plans:Requested",
            body={"planner": planner, "request": request, "reason": reason, "force": force},
        )

    def get_plan(
        self,
        id: str,
    ) -> uwu.kernel.plans.view.PlanView:
        """One plan by its id or number, with all that reviewing it needs."""
        return self.call("GET", f"/plans/{quote(id, safe='')}", "uwu.kernel.plans.view:PlanView")

    def apply_plan(
        self,
        id: str,
        *,
        hash: str | None = None,
    ) -> uwu.app.api.work.Accepted:
        """Begins to apply an approved plan and gives its job; asked again meanwhile, the same job."""
        return self.call("POST", f"/plans/{quote(id, safe='')}/apply", "uwu.app.api.work:Accepted", body={"hash": hash})

    def approve_plan(
        self,
        id: str,
        hash: str,
        *,
        comment: str = "",
    ) -> uwu.kernel.plans.view.PlanView:
        """Approves the plan that has the given hash; 409 where it has another, or where the world has moved on."""
        return self.call(
            "POST",
            f"/plans/{quote(id, safe='')}/approve",
            "uwu.kernel.plans.view:PlanView",
            body={"hash": hash, "comment": comment},
        )

    def reject_plan(
        self,
        id: str,
        hash: str,
        *,
        comment: str = "",
    ) -> uwu.kernel.plans.view.PlanView:
        """Rejects the plan that has the given hash: one rejection is enough."""
        return self.call(
            "POST",
            f"/plans/{quote(id, safe='')}/reject",
            "uwu.kernel.plans.view:PlanView",
            body={"hash": hash, "comment": comment},
        )

    def undo_plan(
        self,
        id: str,
        reason: str,
        *,
        force: bool = False,
    ) -> uwu.app.api.plans.Requested:
        """Asks for a plan that takes back what this one did; it needs approval like any other."""
        return self.call(
            "POST",
            f"/plans/{quote(id, safe='')}/undo",
            "uwu.app.api.plans:Requested",
            body={"reason": reason, "force": force},
        )

    def withdraw_plan(
        self,
        id: str,
    ) -> uwu.kernel.plans.view.PlanView:
        """Takes back a plan that was not applied yet; for its requester."""
        return self.call("POST", f"/plans/{quote(id, safe='')}/withdraw", "uwu.kernel.plans.view:PlanView")

    def list_principals(
        self,
        *,
        limit: int = 100,
        after: str = "",
    ) -> list[uwu.kernel.identity.principals.Record]:
        """Who has signed in, service accounts and the bootstrap admin, by reference; ``after`` is the last one seen."""
        return self.call(
            "GET",
            "/principals",
            "list[uwu.kernel.identity.principals:Record]",
            query={"limit": limit, "after": after or None},
        )

    def disable_principal(
        self,
        principal: str,
    ) -> uwu.kernel.identity.principals.Record:
        """Disables a person or a service account: its sessions end, its tokens prove nothing until it is enabled."""
        return self.call(
            "POST", "/principals/disable", "uwu.kernel.identity.principals:Record", body={"principal": principal}
        )

    def enable_principal(
        self,
        principal: str,
    ) -> uwu.kernel.identity.principals.Record:
        """Enables who was disabled."""
        return self.call(
            "POST", "/principals/enable", "uwu.kernel.identity.principals:Record", body={"principal": principal}
        )

    def unlink_principal(
        self,
        principal: str,
    ) -> uwu.kernel.identity.principals.Record:
        """Frees a person's name from the subject at the provider: the next who signs in under it becomes that person.
        Sessions end and tokens are revoked.
        """
        return self.call(
            "POST", "/principals/unlink", "uwu.kernel.identity.principals:Record", body={"principal": principal}
        )

    def run_query(
        self,
        sql: str,
        *,
        max_rows: int | None = None,
        at: str = "",
    ) -> uwu.kernel.query.Result:
        """Answers one SELECT over resources, relations, findings, entities, coverage, ownership and events.

        It reads everything: for who sees a part only, it is denied.
        """
        return self.call("POST", "/query", "uwu.kernel.query:Result", body={"sql": sql, "max_rows": max_rows, "at": at})

    def list_tables(
        self,
    ) -> list[uwu.kernel.query.TableInfo]:
        """The tables that a query may name, with their columns."""
        return self.call("GET", "/query/tables", "list[uwu.kernel.query:TableInfo]")

    def get_reach(
        self,
        subject: str,
        *,
        kinds: str = "",
        direction: Literal["out", "in", "any"] = "out",
        length: int = 3,
        at: str = "",
        limit: int = 200,
    ) -> uwu.kernel.paths.Reach:
        """What can be reached from ``subject`` in at most ``length`` hops, nearest first; parameters as of /paths."""
        return self.call(
            "GET",
            "/reach",
            "uwu.kernel.paths:Reach",
            query={
                "subject": subject,
                "kinds": kinds or None,
                "direction": direction,
                "length": length,
                "at": at or None,
                "limit": limit,
            },
        )

    def get_resource(
        self,
        subject: str,
        *,
        at: str = "",
    ) -> uwu.app.api.world.ResourceView:
        """One resource by ARN, id or name, as it is now, or as it was ``at`` a past time."""
        return self.call(
            "GET", "/resource", "uwu.app.api.world:ResourceView", query={"subject": subject, "at": at or None}
        )

    def list_resources(
        self,
        *,
        type: str = "",
        account: str = "",
        region: str = "",
        owner: str | None = None,
        text: str = "",
        at: str = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.kernel.graph.read.Page:
        """Resources by name. ``owner=`` (empty) asks for the unowned; ``after`` is the ``after`` of the page before.

        ``at`` asks for those of a past time (ISO 8601, a day, or so long ago: 3h, 2d); owners are today's.
        """
        return self.call(
            "GET",
            "/resources",
            "uwu.kernel.graph.read:Page",
            query={
                "type": type or None,
                "account": account or None,
                "region": region or None,
                "owner": owner,
                "text": text or None,
                "at": at or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_resources(
        self,
        *,
        type: str = "",
        account: str = "",
        region: str = "",
        owner: str | None = None,
        text: str = "",
        at: str = "",
        limit: int = 50,
    ) -> Iterator[uwu.kernel.graph.read.Observed]:
        """Every item of ``list_resources``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_resources(
                type=type, account=account, region=region, owner=owner, text=text, at=at, limit=limit, after=after
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def list_rights(
        self,
        *,
        subject: str = "",
        action: str = "",
        who: str = "",
    ) -> uwu.app.api.rights.Rights:
        """What the caller may do with ``subject`` (a resource, an entity, a finding, a plan), or with the platform.

        Each action, or the one that is asked for, with the policies that permit it, or with the path that is lacking and
        whom to ask. ``who`` asks for another principal by its reference; it takes ``access.read``.
        """
        return self.call(
            "GET",
            "/rights",
            "uwu.app.api.rights:Rights",
            query={"subject": subject or None, "action": action or None, "who": who or None},
        )

    def list_rules(
        self,
        *,
        limit: int = 100,
        after: str = "",
    ) -> uwu.app.api.rules.Rules:
        """Every rule: what it asks for and why, what it found, and what it could not judge."""
        return self.call("GET", "/rules", "uwu.app.api.rules:Rules", query={"limit": limit, "after": after or None})

    def each_rules(
        self,
        *,
        limit: int = 100,
    ) -> Iterator[uwu.kernel.rulebook.Standing]:
        """Every item of ``list_rules``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_rules(limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_rule(
        self,
        id: str,
    ) -> uwu.kernel.rulebook.Standing:
        """One rule."""
        return self.call("GET", f"/rules/{quote(id, safe='')}", "uwu.kernel.rulebook:Standing")

    def list_schedules(
        self,
    ) -> list[uwu.kernel.schedules.Standing]:
        """What the workers ask for by themselves: when it ran last and when it runs next."""
        return self.call("GET", "/schedules", "list[uwu.kernel.schedules:Standing]")

    def list_scorecards(
        self,
    ) -> uwu.domains.catalog.scorecards.api.Scorecards:
        """The scorecards, and every check with why it is asked and what mends it."""
        return self.call("GET", "/scorecards", "uwu.domains.catalog.scorecards.api:Scorecards")

    def exempt_from_check(
        self,
        entity: str,
        check: str,
        until: str,
        reason: str,
    ) -> uwu.kernel.exemptions.Exemption:
        """Exempts an entity from a check until a day; it is judged anew at once.

        ``POST /exemptions/{id}/end`` ends it before its time.
        """
        return self.call(
            "POST",
            "/scorecards/exempt",
            "uwu.kernel.exemptions:Exemption",
            body={"entity": entity, "check": check, "until": until, "reason": reason},
        )

    def get_scorecard(
        self,
        card: str,
    ) -> uwu.domains.catalog.scorecards.api.Scorecard:
        """One scorecard: its levels and checks, and how each owner's entities stand."""
        return self.call("GET", f"/scorecards/{quote(card, safe='')}", "uwu.domains.catalog.scorecards.api:Scorecard")

    def list_grades(
        self,
        card: str,
        *,
        owner: str = "",
        level: str | None = None,
        check: str = "",
        status: str = "",
        sort: Literal["score", "-score", "entity"] = "score",
        limit: int = 100,
        after: str = "",
    ) -> uwu.domains.catalog.scorecards.store.Grades:
        """How entities stand on a scorecard, the worst first; those of which nothing is known are the last.

        ``check`` picks those that fail it, or those of which it says ``status`` (passed, failed, unknown, exempt). An empty
        ``level`` is of those that reach none; ``owner`` ``-`` of those that name nobody.
        """
        return self.call(
            "GET",
            f"/scorecards/{quote(card, safe='')}/grades",
            "uwu.domains.catalog.scorecards.store:Grades",
            query={
                "owner": owner or None,
                "level": level,
                "check": check or None,
                "status": status or None,
                "sort": sort,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_grades(
        self,
        card: str,
        *,
        owner: str = "",
        level: str | None = None,
        check: str = "",
        status: str = "",
        sort: Literal["score", "-score", "entity"] = "score",
        limit: int = 100,
    ) -> Iterator[uwu.domains.catalog.scorecards.model.Grade]:
        """Every item of ``list_grades``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_grades(
                card=card, owner=owner, level=level, check=check, status=status, sort=sort, limit=limit, after=after
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def list_days(
        self,
        card: str,
        entity: str,
        *,
        limit: int = 100,
        after: str = "",
    ) -> uwu.domains.catalog.scorecards.api.Days:
        """The days on which an entity's standing turned, the newest first, with what turned."""
        return self.call(
            "GET",
            f"/scorecards/{quote(card, safe='')}/history",
            "uwu.domains.catalog.scorecards.api:Days",
            query={"entity": entity, "limit": limit, "after": after or None},
        )

    def each_days(
        self,
        card: str,
        entity: str,
        *,
        limit: int = 100,
    ) -> Iterator[uwu.domains.catalog.scorecards.store.Day]:
        """Every item of ``list_days``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_days(card=card, entity=entity, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_search(
        self,
        q: str,
        *,
        limit: int = 20,
    ) -> list[uwu.kernel.search.Hit]:
        """Resources, entities and findings whose name or key holds ``q``, the best first."""
        return self.call("GET", "/search", "list[uwu.kernel.search:Hit]", query={"q": q, "limit": limit})

    def create_service(
        self,
        name: str,
        *,
        groups: tuple[str, ...] = (),
    ) -> uwu.kernel.identity.principals.Record:
        """Makes a service account. It can do nothing before it has a token."""
        return self.call(
            "POST", "/services", "uwu.kernel.identity.principals:Record", body={"name": name, "groups": groups}
        )

    def list_sessions(
        self,
        *,
        of: str = "",
    ) -> list[uwu.kernel.identity.sessions.Session]:
        """One's own sessions; ``of``: another's, or ``*`` for everyone's, for admins."""
        return self.call("GET", "/sessions", "list[uwu.kernel.identity.sessions:Session]", query={"of": of or None})

    def end_sessions(
        self,
    ) -> uwu.app.api.access.Ended:
        """Signs oneself out everywhere: every session ends, this one too. Tokens stay; they are revoked one by one."""
        return self.call("POST", "/sessions/end-all", "uwu.app.api.access:Ended")

    def end_session(
        self,
        id: str,
    ) -> uwu.kernel.identity.sessions.Session:
        """Ends a session: one's own, for admins anyone's."""
        return self.call("POST", f"/sessions/{quote(id, safe='')}/end", "uwu.kernel.identity.sessions:Session")

    def list_settings(
        self,
    ) -> list[uwu.kernel.effective.Part]:
        """Every setting with its value and its source, by table; secrets are redacted."""
        return self.call("GET", "/settings", "list[uwu.kernel.effective:Part]")

    def get_status(
        self,
    ) -> uwu.app.api.work.Status:
        """What is known, how complete and how fresh it is."""
        return self.call("GET", "/status", "uwu.app.api.work:Status")

    def list_tokens(
        self,
        *,
        of: str = "",
    ) -> list[uwu.kernel.identity.tokens.Token]:
        """One's own tokens, the newest first; ``of``: another's, or ``*`` for everyone's, for admins."""
        return self.call("GET", "/tokens", "list[uwu.kernel.identity.tokens:Token]", query={"of": of or None})

    def create_token(
        self,
        name: str,
        *,
        principal: str = "",
        scopes: tuple[str, ...] = ("*",),
        days: int | None = None,
    ) -> uwu.app.api.access.TokenMade:
        """Makes a token and shows it, this once. It is never wider than what its maker shows."""
        return self.call(
            "POST",
            "/tokens",
            "uwu.app.api.access:TokenMade",
            body={"name": name, "principal": principal, "scopes": scopes, "days": days},
        )

    def revoke_token(
        self,
        id: str,
    ) -> uwu.kernel.identity.tokens.Token:
        """Revokes a token: one's own, for admins anyone's. The sessions that it began end too."""
        return self.call("POST", f"/tokens/{quote(id, safe='')}/revoke", "uwu.kernel.identity.tokens:Token")

    def list_alerts(
        self,
        *,
        rule: str = "",
        closed: bool = False,
        limit: int = 100,
        after: str = "",
    ) -> uwu.domains.trail.detect.alerts.Alerts:
        """Alerts that are open, or with ``closed`` all, the newest first."""
        return self.call(
            "GET",
            "/trail/alerts",
            "uwu.domains.trail.detect.alerts:Alerts",
            query={"rule": rule or None, "closed": closed or None, "limit": limit, "after": after or None},
        )

    def each_alerts(
        self,
        *,
        rule: str = "",
        closed: bool = False,
        limit: int = 100,
    ) -> Iterator[uwu.domains.trail.detect.alerts.Alert]:
        """Every item of ``list_alerts``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_alerts(rule=rule, closed=closed, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_alert(
        self,
        id: str,
    ) -> uwu.domains.trail.detect.api.Told:
        """One alert, by its id or its finding's, with its events, each checked against its hash."""
        return self.call("GET", f"/trail/alerts/{quote(id, safe='')}", "uwu.domains.trail.detect.api:Told")

    def close_alert(
        self,
        id: str,
        reason: str,
    ) -> uwu.domains.trail.detect.alerts.Alert:
        """Closes an alert and its finding for a reason; audited."""
        return self.call(
            "POST",
            f"/trail/alerts/{quote(id, safe='')}/close",
            "uwu.domains.trail.detect.alerts:Alert",
            body={"reason": reason},
        )

    def list_trail_backfills(
        self,
        *,
        limit: int = 20,
    ) -> list[uwu.domains.trail.api_pipeline.BackfillState]:
        """Backfills, the latest first, and how long each may still take. It takes sight of everything."""
        return self.call(
            "GET", "/trail/backfills", "list[uwu.domains.trail.api_pipeline:BackfillState]", query={"limit": limit}
        )

    def start_backtest(
        self,
        *,
        rule: str = "",
        text: str = "",
        since: str = "",
        until: str = "",
    ) -> uwu.domains.trail.detect.api.Begun:
        """Runs a rule over history as a job. It takes sight of everything."""
        return self.call(
            "POST",
            "/trail/backtests",
            "uwu.domains.trail.detect.api:Begun",
            body={"rule": rule, "text": text, "since": since, "until": until},
        )

    def list_trail_changes(
        self,
        subject: str,
        *,
        since: str = "",
        until: str = "",
        limit: int = 100,
    ) -> list[uwu.kernel.model.Change]:
        """The successful writes on a resource (ARN, id or name), newest first; also on one that is gone."""
        return self.call(
            "GET",
            "/trail/changes",
            "list[uwu.kernel.model:Change]",
            query={"subject": subject, "since": since or None, "until": until or None, "limit": limit},
        )

    def get_trail_completeness(
        self,
        *,
        account: str = "",
        region: str = "",
        since: str = "",
        until: str = "",
    ) -> list[uwu.domains.trail.digests.ledger.Strip]:
        """Each hour of every account and region: proven, delivered but unproven, or missing; the last seven days without
        ``since``. It takes sight of everything.
        """
        return self.call(
            "GET",
            "/trail/completeness",
            "list[uwu.domains.trail.digests.ledger:Strip]",
            query={
                "account": account or None,
                "region": region or None,
                "since": since or None,
                "until": until or None,
            },
        )

    def count_trail_days(
        self,
        *,
        who: str = "",
        name: str = "",
        account: str = "",
        since: str = "",
        until: str = "",
    ) -> list[uwu.domains.trail.events.DayCount]:
        """Events, writes and errors a day, the first day first. It takes sight of everything."""
        return self.call(
            "GET",
            "/trail/days",
            "list[uwu.domains.trail.events:DayCount]",
            query={
                "who": who or None,
                "name": name or None,
                "account": account or None,
                "since": since or None,
                "until": until or None,
            },
        )

    def list_trail_dead(
        self,
        *,
        limit: int = 100,
    ) -> list[uwu.domains.trail.standing.Dead]:
        """Objects that could not be taken, and messages that name none; the latest first. It takes sight of everything."""
        return self.call("GET", "/trail/dead", "list[uwu.domains.trail.standing:Dead]", query={"limit": limit})

    def list_trail_faults(
        self,
        *,
        account: str = "",
        region: str = "",
        tampering: bool = False,
        limit: int = 100,
        after: str = "",
    ) -> uwu.domains.trail.digests.ledger.Faults:
        """Digests and log files that are absent or altered, the latest hours first; a page at a time. It takes sight of
        everything.
        """
        return self.call(
            "GET",
            "/trail/faults",
            "uwu.domains.trail.digests.ledger:Faults",
            query={
                "account": account or None,
                "region": region or None,
                "tampering": tampering or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_trail_faults(
        self,
        *,
        account: str = "",
        region: str = "",
        tampering: bool = False,
        limit: int = 100,
    ) -> Iterator[uwu.domains.trail.digests.ledger.KnownFault]:
        """Every item of ``list_trail_faults``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_trail_faults(account=account, region=region, tampering=tampering, limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def get_least_privilege(
        self,
        principal: str,
        *,
        since: str = "",
        until: str = "",
    ) -> uwu.domains.trail.privilege.service.Report:
        """What a role or user may do against what it did, the policy that is enough, and its replay over the history.

        It takes sight of everything: what somebody did lies in many accounts.
        """
        return self.call(
            "GET",
            "/trail/least-privilege",
            "uwu.domains.trail.privilege.service:Report",
            query={"principal": principal, "since": since or None, "until": until or None},
        )

    def export_ocsf(
        self,
        since: str,
        *,
        until: str = "",
        classes: str = "",
    ) -> Iterator[Any]:
        """Events as OCSF 1.3 in JSON lines, by time. ``classes`` are some of 3001, 3002 and 6003, with commas between.

        It takes sight of everything.
        """
        return self.lines(
            "/trail/ocsf" + self.query({"since": since, "until": until or None, "classes": classes or None})
        )

    def get_trail_raw(
        self,
        event_id: str,
    ) -> uwu.domains.trail.original.Original:
        """The record of an event from the object that holds it, secrets redacted. It takes sight of everything."""
        return self.call("GET", "/trail/raw", "uwu.domains.trail.original:Original", query={"event_id": event_id})

    def list_rejects(
        self,
        *,
        limit: int = 100,
    ) -> list[uwu.domains.trail.api.Aside]:
        """What could not be taken, the latest first. It takes sight of everything."""
        return self.call("GET", "/trail/rejects", "list[uwu.domains.trail.api:Aside]", query={"limit": limit})

    def list_detections(
        self,
        *,
        limit: int = 100,
        after: str = "",
    ) -> uwu.domains.trail.detect.api.Detections:
        """Every detection with what it matched lately, when it matched last, and how many of its alerts are open."""
        return self.call(
            "GET",
            "/trail/rules",
            "uwu.domains.trail.detect.api:Detections",
            query={"limit": limit, "after": after or None},
        )

    def each_detections(
        self,
        *,
        limit: int = 100,
    ) -> Iterator[uwu.domains.trail.detect.service.Standing]:
        """Every item of ``list_detections``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.list_detections(limit=limit, after=after)
            yield from page.items
            after = page.after
            if not after:
                return

    def test_detection(
        self,
        event: dict[str, Any],
        *,
        rule: str = "",
        text: str = "",
    ) -> list[uwu.domains.trail.detect.service.Tried]:
        """What a rule, or every rule, says of one event. It writes nothing."""
        return self.call(
            "POST",
            "/trail/rules/test",
            "list[uwu.domains.trail.detect.service:Tried]",
            body={"event": event, "rule": rule, "text": text},
        )

    def get_detection(
        self,
        id: str,
    ) -> uwu.domains.trail.detect.service.Standing:
        """One detection, with its query and its text."""
        return self.call("GET", f"/trail/rules/{quote(id, safe='')}", "uwu.domains.trail.detect.service:Standing")

    def search_trail(
        self,
        *,
        who: str = "",
        resource: str = "",
        name: str = "",
        service: str = "",
        account: str = "",
        region: str = "",
        error: str = "",
        access_key: str = "",
        address: str = "",
        text: str = "",
        event_id: str = "",
        writes: bool = False,
        since: str = "",
        until: str = "",
        limit: int = 50,
        after: str = "",
    ) -> uwu.domains.trail.events.Page:
        """Events by who, what, where and text, newest first; a page at a time. It takes sight of everything."""
        return self.call(
            "GET",
            "/trail/search",
            "uwu.domains.trail.events:Page",
            query={
                "who": who or None,
                "resource": resource or None,
                "name": name or None,
                "service": service or None,
                "account": account or None,
                "region": region or None,
                "error": error or None,
                "access_key": access_key or None,
                "address": address or None,
                "text": text or None,
                "event_id": event_id or None,
                "writes": writes or None,
                "since": since or None,
                "until": until or None,
                "limit": limit,
                "after": after or None,
            },
        )

    def each_search_trail(
        self,
        *,
        who: str = "",
        resource: str = "",
        name: str = "",
        service: str = "",
        account: str = "",
        region: str = "",
        error: str = "",
        access_key: str = "",
        address: str = "",
        text: str = "",
        event_id: str = "",
        writes: bool = False,
        since: str = "",
        until: str = "",
        limit: int = 50,
    ) -> Iterator[uwu.domains.trail.events.Found]:
        """Every item of ``search_trail``, page by page; ``limit`` is the size of a page."""
        after = ""
        while True:
            page = self.search_trail(
                who=who,
                resource=resource,
                name=name,
                service=service,
                account=account,
                region=region,
                error=error,
                access_key=access_key,
                address=address,
                text=text,
                event_id=event_id,
                writes=writes,
                since=since,
                until=until,
                limit=limit,
                after=after,
            )
            yield from page.items
            after = page.after
            if not after:
                return

    def list_trail_sources(
        self,
    ) -> list[uwu.domains.trail.standing.SourceState]:
        """Queues, buckets and folders that events came from, and how far behind each is. It takes sight of everything."""
        return self.call("GET", "/trail/sources", "list[uwu.domains.trail.standing:SourceState]")

    def get_stats(
        self,
    ) -> uwu.domains.trail.api.Totals:
        """How many events there are, and of how many resource and actor are named. It takes sight of everything."""
        return self.call("GET", "/trail/stats", "uwu.domains.trail.api:Totals")

    def list_timeline(
        self,
        actor: str,
        *,
        since: str = "",
        until: str = "",
        limit: int = 100,
    ) -> list[uwu.domains.trail.changes.Event]:
        """What a human, machine, service or principal did, newest first. It takes sight of everything."""
        return self.call(
            "GET",
            "/trail/timeline",
            "list[uwu.domains.trail.changes:Event]",
            query={"actor": actor, "since": since or None, "until": until or None, "limit": limit},
        )

    def whoami(
        self,
    ) -> uwu.app.api.access.Me:
        """Who asks: the reference, the groups, the roles, by what proof and until when."""
        return self.call("GET", "/whoami", "uwu.app.api.access:Me")
