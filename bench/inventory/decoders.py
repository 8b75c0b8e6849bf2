"""How fast answers become plain data: our decoders and botocore's parser over the same bytes, in one thread.

Beside botocore stands what its client does after it has parsed (policy documents of IAM), as ours do the same. Both
are timed in turns and the best of each counts, so what else the machine does tells on neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore import parsers
from botocore.awsrequest import HeadersDict
from botocore.handlers import json_decode_policies

from bench.harness import Report
from bench.inventory import bodies
from uwu.kernel.aws_calls import plain
from uwu.kernel.aws_fast.decode import Decoders, Response

SUBJECTS: tuple[tuple[str, str, Callable[[], bytes], float], ...] = (
    ("iam", "ListRoles", bodies.list_roles, 10.0),
    ("ec2", "DescribeInstances", bodies.describe_instances, 4.0),
    ("lambda", "ListFunctions", bodies.list_functions, 0.0),
)


def measure(report: Report, *, quick: bool) -> None:
    """Ratios over botocore's parser: at least 10 for IAM ListRoles, at least 4 for EC2 DescribeInstances."""
    session = botocore.session.Session()
    for service, operation, make, bar in SUBJECTS:
        body = make()
        model = session.get_service_model(service)
        shape = model.operation_model(operation)
        decode, parser = Decoders(model).decoder(shape), parsers.create_parser(model.resolved_protocol)
        response = Response(200, {}, body)
        raw = {"status_code": 200, "headers": HeadersDict(), "body": body, "context": {}}

        def theirs(parser: Any = parser, raw: Any = raw, shape: Any = shape, service: str = service) -> Any:
            answer = parser.parse(raw, shape.output_shape)
            if service == "iam":
                json_decode_policies(answer, shape)
            return answer

        def ours(decode: Any = decode, response: Response = response) -> Any:
            return decode(response)

        expected = {name: plain(value) for name, value in theirs().items() if name != "ResponseMetadata"}
        assert ours() == expected
        fast, slow = _best(ours, theirs, rounds=10 if quick else 60)
        name = f"{service} {operation} {len(body) // 1000} KB"
        report.figure(f"{name}: ours", fast * 1000, unit=" ms", peer=f"botocore {slow * 1000:.2f} ms")
        if bar:
            report.bar(f"{name}: times as fast", slow / fast, at_least=bar, peer="botocore's parser")
        else:
            report.figure(f"{name}: times as fast", slow / fast, peer="botocore's parser")


def _best(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """The best time of each, in seconds, measured in turns."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for index, subject in enumerate((ours, theirs)):
            for _ in range(8 if index == 0 else 1):
                began = time.perf_counter()
                subject()
                best[index] = min(best[index], time.perf_counter() - began)
    return best[0], best[1]
