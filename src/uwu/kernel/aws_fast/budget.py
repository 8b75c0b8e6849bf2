"""How many calls a second AWS takes from one account in one region, found out by asking.

Nothing is held back until AWS first tells to slow down. From then on calls are paced: each answer lets the pace rise a
little and each refusal makes it fall ten times as much, so it settles where about one call in eleven is refused, which
is where AWS's bucket never stands full unused. All threads of a process draw on one budget; several processes find
their shares by the same rule, as each sees the same refusals.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

RISE, FALL = 0.01, 0.1
"""By what share the pace rises with an answer and falls with a refusal."""

CALM, HURRY = 16, 0.03
"""After so many answers without a refusal, more than is usual, the pace rises by this share with each:
others who drew on the same rate have gone."""

START = 5.0
"""Calls a second after a first refusal before which nothing could be counted: it falls from there as any pace does."""

LEAST, MOST = 0.5, 2000.0
"""Calls a second: no slower; and what is faster is not held back at all."""

WINDOW = 1.0
"""Seconds over which answers are counted before the first refusal: the pace begins at what was seen."""

SEVERAL, AT_ONCE, SHARED_SECONDS = 3, 2.0, 60.0
"""So many services of an account and region that are refused within so many seconds share a budget, until none of them
has been refused for so long."""

Cell = tuple[str, str, str]
"""Account, region and service."""


class Budget:
    """The pace of one account, region and service. Threads share it."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, on_refused: Callable[[], None] | None = None
    ) -> None:
        self._clock = clock
        self._on_refused = on_refused
        self._lock = Lock()
        self._rate: float = 0.0
        """Calls a second; 0 for no bound."""
        self._next = 0.0
        self._calm = 0
        self._fell_at = float("-inf")
        self._since = clock()
        self._count = 0
        self._seen: float = 0.0

    @property
    def rate(self) -> float:
        """Calls a second that are let through; infinite where AWS has not complained."""
        return self._rate or float("inf")

    def turn(self) -> float:
        """Takes the next turn; gives the seconds until it comes."""
        if not self._rate:
            return 0.0
        with self._lock:
            if not self._rate:
                return 0.0
            now = self._clock()
            at = max(now, self._next)
            self._next = at + 1 / self._rate
            return at - now

    def answered(self) -> None:
        """AWS has answered a call."""
        with self._lock:
            if self._rate:
                self._calm += 1
                self._rate *= 1 + (HURRY if self._calm > CALM else RISE)
                if self._rate > MOST:
                    self._rate = 0.0
                return
            self._count += 1
            now = self._clock()
            if now - self._since >= WINDOW:
                self._seen = self._count / min(now - self._since, 2 * WINDOW)
                self._since, self._count = now, 0

    def refused(self) -> None:
        """AWS has told to slow down."""
        if self._on_refused is not None:
            self._on_refused()
        with self._lock:
            now, self._calm = self._clock(), 0
            if self._rate:
                if now - self._fell_at >= 1 / self._rate:  # what was under way together is refused together
                    self._rate, self._fell_at = max(self._rate * (1 - FALL), LEAST), now
                return
            self._rate = max(self._seen, self._count / max(now - self._since, WINDOW / 4), START)
            self._next, self._fell_at = now + 1 / self._rate, now


class _Place:
    """An account in a region: which of its services were refused lately, and the budget that they share."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.refused: dict[str, float] = {}
        self.until = 0.0
        self.shared = Budget(clock, lambda: self.share(clock()))

    def share(self, now: float) -> None:
        self.until = now + SHARED_SECONDS


class Budgets:
    """The budgets of a process: a bounded number, those that were used last.

    Each service has its own, as AWS counts; where several services of an account and region are refused at once it is
    their sum that is bounded, and they draw on one until that has been quiet for a while.
    """

    def __init__(self, size: int = 20_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._lock = Lock()
        self._kept: OrderedDict[Cell, Budget] = OrderedDict()
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()

    def of(self, cell: Cell) -> Budget:
        """The budget of a cell."""
        with self._lock:
            place = self._places.get(cell[:2])
            if place is not None and place.until > self._clock():
                return place.shared
            found = self._kept.get(cell)
            if found is None:
                found = self._kept[cell] = Budget(self._clock, lambda: self._note(cell))
                if len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(cell)
            return found

    def _note(self, cell: Cell) -> None:
        """A service was refused."""
        account, region, service = cell
        now = self._clock()
        with self._lock:
            place = self._places.setdefault((account, region), _Place(self._clock))
            self._places.move_to_end((account, region))
            if len(self._places) > self._size:
                self._places.popitem(last=False)
            place.refused = {name: at for name, at in place.refused.items() if now - at < AT_ONCE} | {service: now}
            if len(place.refused) >= SEVERAL and place.until <= now:
                place.share(now)
                for name in place.refused:  # what they found out was not about themselves
                    self._kept.pop((account, region, name), None)
