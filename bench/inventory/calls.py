"""Calls a second, end to end: sign, send, receive, decode, over one canned server in a process of its own.

boto3 has the better of one thread and 32; ours the better of one, four and 32. The two are asked in turns and each
keeps its best round. Two processes of ours stand beside one by calls a second of both together; how far a second one
can help at all is told by two that only count, asked in the same rounds: on a machine with nothing else to do, 2.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.config import Config

from bench.harness import Report
from bench.inventory import bodies
from bench.inventory.canned import JSON_10, Canned, Plan, Reply
from uwu.kernel.aws import Aws
from uwu.kernel.settings import AwsSettings

REGION = "us-east-1"
SUBJECTS = (("sqs", "ListQueues", 2.5), ("iam", "ListRoles", 0.0), ("ec2", "DescribeInstances", 4.0))
THREADS = {"ours": (1, 4, 32), "boto3": (1, 32)}
KEYS = {"AWS_ACCESS_KEY_ID": f"ASIA{bodies.ACCOUNT}", "AWS_SECRET_ACCESS_KEY": "canned"}

Ask = Callable[[], Any]


def plan() -> Plan:
    """The bodies that are asked for."""
    return Plan(
        {
            "sts:GetCallerIdentity": Reply(bodies.identity()),
            "sqs:ListQueues": Reply(bodies.list_queues(), JSON_10),
            "iam:ListRoles": Reply(bodies.list_roles()),
            "ec2:DescribeInstances": Reply(bodies.describe_instances()),
        }
    )


def measure(report: Report, *, quick: bool) -> None:
    """At least 2.5 times boto3 at 2 KB and 4 times at 313 KB; two processes at least 1.8 times one."""
    kept = {name: os.environ.get(name) for name in KEYS}
    os.environ.update(KEYS)
    try:
        with Canned(plan()) as server:
            _one_process(report, server.url, seconds=0.1 if quick else 1.0, rounds=2 if quick else 5)
            _two_processes(report, server.url, seconds=0.1 if quick else 0.5, rounds=5 if quick else 20)
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def _one_process(report: Report, url: str, seconds: float, rounds: int) -> None:
    for service, operation, bar in SUBJECTS:
        asks = {"ours": _ours(url, service, operation), "boto3": _boto3(url, service, operation)}
        best = dict.fromkeys(asks, 0.0)
        for _ in range(rounds):
            for name, ask in asks.items():
                for threads in THREADS[name]:
                    best[name] = max(best[name], _rate(ask, threads, seconds / len(THREADS[name])))
        size = len(plan().replies[f"{service}:{operation}"].body) // 1000
        peer = f"boto3 {best['boto3']:,.0f}/s"
        report.figure(f"{service} {operation} {size} KB: calls a second", best["ours"], unit="/s", peer=peer)
        ratio = best["ours"] / best["boto3"]
        if bar:
            report.bar(f"{service} {operation} {size} KB: times boto3", ratio, at_least=bar, peer=peer)
        else:
            report.figure(f"{service} {operation} {size} KB: times boto3", ratio, peer=peer)


def _two_processes(report: Report, url: str, seconds: float, rounds: int) -> None:
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(url, theirs), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    try:
        for pipe in pipes:
            assert pipe.poll(60) and pipe.recv() == "ready"
        best: dict[str, float] = dict.fromkeys(("one", "two", "spin one", "spin two"), 0.0)
        for _ in range(rounds):
            for name, kind in (("", "ask"), ("spin ", "spin")):
                best[f"{name}one"] = max(best[f"{name}one"], *(_together([pipe], kind, seconds) for pipe in pipes))
                best[f"{name}two"] = max(best[f"{name}two"], _together(pipes, kind, seconds))
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            pipe.send(("", 0.0))
            process.join(10)
    scale, room = best["two"] / best["one"], best["spin two"] / best["spin one"]
    peer = f"one process {best['one']:,.0f}/s, two {best['two']:,.0f}/s"
    report.bar("ec2 DescribeInstances: two processes, times one", scale, at_least=1.8, peer=peer)
    report.figure("two processes that only count, times one: what this machine has left", room)


def _together(pipes: list[Connection], kind: str, seconds: float) -> float:
    for pipe in pipes:
        pipe.send((kind, seconds))
    return sum(pipe.recv() for pipe in pipes)


def _work(url: str, pipe: Connection) -> None:
    """A worker process: asks or counts for so long as it is told, until it is told 0 seconds."""
    kinds = {"ask": _ours(url, "ec2", "DescribeInstances"), "spin": lambda: sum(range(100_000))}
    pipe.send("ready")
    while True:
        kind, seconds = pipe.recv()
        if not seconds:
            return
        pipe.send(_rate(kinds[kind], 1, seconds))


def _ours(url: str, service: str, operation: str) -> Ask:
    caller = Aws(AwsSettings(endpoint_url=url)).caller(service, "", REGION)
    caller.call(operation, {})
    return lambda: caller.call(operation, {})


def _boto3(url: str, service: str, operation: str) -> Ask:
    config = Config(max_pool_connections=64)
    client = botocore.session.Session().create_client(service, REGION, endpoint_url=url, config=config)
    ask: Ask = getattr(client, xform_name(operation))
    ask()
    return ask


def _rate(ask: Ask, threads: int, seconds: float) -> float:
    """Calls a second of ``threads`` threads that ask for so long."""
    until = time.perf_counter() + seconds

    def work() -> int:
        count = 0
        while time.perf_counter() < until:
            ask()
            count += 1
        return count

    began = time.perf_counter()
    if threads == 1:
        return work() / (time.perf_counter() - began)
    with ThreadPoolExecutor(threads) as pool:
        count = sum(each.result() for each in [pool.submit(work) for _ in range(threads)])
    return count / (time.perf_counter() - began)
