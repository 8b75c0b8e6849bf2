"""The pace that a budget finds, in simulated time: near what AWS allows, for all threads and processes together."""

from __future__ import annotations

import heapq
import itertools
import random

import pytest

from uwu.kernel.aws_fast.budget import AT_ONCE, FALL, LEAST, SHARED_SECONDS, START, Budget, Budgets


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A token bucket, as AWS throttles."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, burst, 0.0

    def allows(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def simulate(
    server: Server, *, processes: int, threads: int, seconds: float, latency: float = 0.05
) -> tuple[float, float]:
    """Answers a second in the second half, and refusals for each answer."""
    clock, random_ = Clock(), random.Random(7)
    budgets = [Budget(clock) for _ in range(processes)]
    order = itertools.count()
    waiting: list[tuple[float, int, int]] = []
    for index in range(processes * threads):
        heapq.heappush(waiting, (random_.random() * 0.01, next(order), index))
    answered = refused = 0
    while waiting[0][0] < seconds:
        clock.now, _, index = heapq.heappop(waiting)
        if index >= 0:  # takes its turn, then sends
            turn = budgets[index // threads].turn()
            heapq.heappush(waiting, (clock.now + turn + latency * (0.5 + random_.random()), next(order), -1 - index))
            continue
        index = -1 - index
        budget = budgets[index // threads]
        pause = 0.0
        if server.allows(clock.now):
            budget.answered()
            answered += clock.now > seconds / 2
        else:
            budget.refused()
            refused += clock.now > seconds / 2
            pause = random_.random() * 0.1
        heapq.heappush(waiting, (clock.now + pause, next(order), index))
    return answered / (seconds / 2), refused / max(answered, 1)


@pytest.mark.parametrize("rate", [5.0, 20.0, 100.0])
@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("seconds", [1.0, 5.0])
def test_what_aws_allows_is_used_and_little_is_refused(rate: float, processes: int, seconds: float) -> None:
    """``seconds``: what the bucket holds at most, in seconds' worth."""
    delivered, refusals = simulate(Server(rate, rate * seconds), processes=processes, threads=8, seconds=240)
    assert delivered >= 0.9 * rate
    assert refusals <= 0.25


def test_nothing_is_held_back_until_aws_complains() -> None:
    budget = Budget(Clock())
    assert [budget.turn() for _ in range(1000)] == [0.0] * 1000 and budget.rate == float("inf")


def test_turns_are_spread_and_the_pace_rises_again() -> None:
    clock = Clock()
    budget = Budget(clock)
    for _ in range(100):
        clock.now += 0.01
        budget.answered()
    budget.refused()
    rate = budget.rate
    assert 50 < rate <= 100
    turns = [budget.turn() for _ in range(10)]
    assert turns == sorted(turns) and turns[-1] - turns[0] == pytest.approx(9 / rate)
    for _ in range(200):
        clock.now += 0.1
        budget.answered()
    assert budget.rate > 1.5 * rate
    for _ in range(500):
        budget.answered()
    assert budget.rate == float("inf")


def test_the_pace_never_falls_to_nothing() -> None:
    clock = Clock()
    budget = Budget(clock)
    for _ in range(500):
        clock.now += 1 / LEAST
        budget.refused()
    assert budget.rate == LEAST


def test_calls_that_are_refused_together_count_once() -> None:
    clock = Clock()
    budget = Budget(clock)
    for _ in range(8):
        budget.refused()
    assert budget.rate == START
    clock.now += 1
    for _ in range(8):
        budget.refused()
    assert budget.rate == pytest.approx(START * (1 - FALL))


def test_services_that_are_refused_together_share_a_budget_until_it_is_quiet() -> None:
    clock = Clock()
    budgets = Budgets(clock=clock)
    cells = [("1", "eu-west-1", name) for name in ("ec2", "iam", "sqs", "sns")]
    held = [budgets.of(cell) for cell in cells]
    for budget in held[:2]:
        budget.refused()
    assert budgets.of(cells[0]) is held[0], "two may be chance"
    held[2].refused()
    shared = budgets.of(cells[0])
    assert all(budgets.of(cell) is shared for cell in cells) and shared not in held
    assert budgets.of(("1", "us-east-1", "ec2")) is not shared and budgets.of(("2", "eu-west-1", "ec2")) is not shared
    clock.now += SHARED_SECONDS - 1
    shared.refused()
    clock.now += SHARED_SECONDS - 1
    assert budgets.of(cells[3]) is shared, "its own refusals keep it"
    clock.now += 2
    assert budgets.of(cells[3]) is held[3]
    assert budgets.of(cells[0]) not in (shared, held[0]), "what it found out was not about itself"


def test_services_that_are_refused_one_after_another_keep_their_own() -> None:
    clock = Clock()
    budgets = Budgets(clock=clock)
    for name in ("ec2", "iam", "sqs"):
        budgets.of(("1", "eu-west-1", name)).refused()
        clock.now += AT_ONCE
    assert len({id(budgets.of(("1", "eu-west-1", name))) for name in ("ec2", "iam", "sqs")}) == 3


def test_a_quiet_hour_does_not_make_the_next_refusal_a_crawl() -> None:
    clock = Clock()
    budget = Budget(clock)
    for _ in range(200):
        clock.now += 0.05
        budget.answered()
    clock.now += 3600
    budget.answered()
    budget.refused()
    assert budget.rate > 5


def test_cells_have_budgets_of_their_own_and_their_number_is_bounded() -> None:
    budgets = Budgets(size=2)
    first = budgets.of(("1", "eu-west-1", "ec2"))
    assert budgets.of(("1", "eu-west-1", "ec2")) is first
    assert budgets.of(("1", "eu-west-1", "iam")) is not first
    budgets.of(("1", "eu-west-1", "s3"))
    assert budgets.of(("1", "eu-west-1", "ec2")) is not first
