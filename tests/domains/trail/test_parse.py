"""Objects are read whole or as far as they go; what is wrong is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from uwu.domains.trail.parse import parse
from uwu.kernel import codec


@pytest.fixture
def real(objects: list[Path]) -> tuple[str, bytes, int]:
    """A real object of some dozens of records."""
    path = next(p for p in objects if p.name.endswith("1205Z_UljXNp9xLp8nsAGc.json"))
    data = path.read_bytes()
    return path.name, data, len(codec.decode(data)["Records"])


def test_real_objects_are_whole(objects: list[Path]):
    parsed = [parse(path.name, path.read_bytes()) for path in objects]
    assert len(objects) == 55
    assert sum(len(one.records) for one in parsed) == 2900
    assert not any(one.rejects or one.problems for one in parsed)


def test_gzip_and_plain_are_the_same(real: tuple[str, bytes, int]):
    name, data, count = real
    plain = parse(name, data)
    assert parse(name, gzip.compress(data)) == plain
    assert len(plain.records) == count > 20
    members = gzip.compress(data[:1000]) + gzip.compress(data[1000:])
    assert parse(name, members) == plain


@pytest.mark.parametrize("part", [0.1, 0.5, 0.97])
def test_a_cut_gzip_keeps_its_whole_records(real: tuple[str, bytes, int], part: float):
    name, data, count = real
    packed = gzip.compress(data)
    found = parse(name, packed[: int(len(packed) * part)])
    whole = parse(name, data).records
    assert 0 < len(found.records) < count
    assert found.records == whole[: len(found.records)]
    assert [p.code for p in found.problems] == ["gzip-truncated", "object-truncated"]
    assert all(name in p.place for p in found.problems)


def test_a_cut_text_tells_record_and_byte(real: tuple[str, bytes, int]):
    name, data, _ = real
    cut = data[: len(data) // 2]
    found = parse(name, cut)
    assert [p.code for p in found.problems] == ["object-truncated"]
    assert f"record {len(found.records)}" in found.problems[0].message
    place = found.problems[0].place
    assert place.startswith(f"{name} line 1 byte ")
    byte = int(place.rsplit(" ", 1)[1])
    # the place is where the cut record begins
    assert cut[byte : byte + 1] == b"{"
    assert cut[byte:].count(b'"eventID"') <= 1


def test_of_a_broken_gzip_nothing_is_trusted(real: tuple[str, bytes, int]):
    name, data, _ = real
    packed = bytearray(gzip.compress(data))
    packed[-6] ^= 0xFF  # the checksum: every byte inflates, and any of them may be wrong
    found = parse(name, bytes(packed))
    assert [p.code for p in found.problems] == ["gzip-broken"]
    assert found.records == []


def test_garbage_after_some_records_ends(real: tuple[str, bytes, int]):
    name, data, _ = real
    first = codec.encode(codec.decode(data)["Records"][0])
    found = parse(name, b'{"Records": [' + first + b", }, {]" + b'{"a" 1},' * 5000)
    assert len(found.records) == 1
    assert [p.code for p in found.problems] == ["object-truncated"]
    found = parse(name, b'{"Records": [' + first + b"," + b'{"a" 1},' * 5000)
    assert len(found.rejects) == 1000


def test_a_malformed_record_costs_only_itself(real: tuple[str, bytes, int]):
    name, data, count = real
    records = codec.decode(data)["Records"]
    records[3] = "no object"
    records[5] = {**records[5], "eventTime": "yesterday"}
    del records[7]["eventID"]
    records[9]["userIdentity"] = ["IAMUser"]
    found = parse(name, codec.encode({"Records": records}))
    assert [(r.index, r.code) for r in found.rejects] == [
        (3, "record-shape"),
        (5, "record-time"),
        (7, "record-field"),
        (9, "record-field"),
    ]
    assert "eventID" in found.rejects[2].message
    assert len(found.records) == count - 4
    assert not found.problems


def test_a_record_that_is_no_json_costs_only_itself(real: tuple[str, bytes, int]):
    name, data, count = real
    at = data.index(b'"eventVersion"', data.index(b'"eventVersion"') + 10)
    found = parse(name, data[:at] + b"oops " + data[at:])
    assert [(r.index, r.code) for r in found.rejects] == [(1, "record-json")]
    assert len(found.records) == count - 1
    assert [r.index for r in found.records] == [0, *range(2, count)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "object-empty"),
        (b"  \n", "object-empty"),
        (b"hello", "object-json"),
        (b"[1, 2]", "object-shape"),
        (b'{"digestStartTime": "2026-03-10T14:00:00Z"}', "object-shape"),
        (b'{"Records": {}}', "object-shape"),
        (b'"Records"', "object-shape"),
        (gzip.compress(b"nothing", mtime=0), "object-json"),
        (b"\x1f\x8b\x08", "gzip-truncated"),
        (b'{"Records": [' + b'{"a":' * 5000, "object-truncated"),
    ],
)
def test_other_shapes_are_named(data: bytes, code: str):
    found = parse("s3://logs/x.json.gz", data)
    assert found.records == []
    assert code in [p.code for p in found.problems]
    assert all(p.place.startswith("s3://logs/x.json.gz") for p in found.problems)


def test_bytes_after_the_object_are_told(real: tuple[str, bytes, int]):
    name, data, count = real
    found = parse(name, gzip.compress(data) + b"tail")
    assert [p.code for p in found.problems] == ["gzip-trailing"]
    assert len(found.records) == count
