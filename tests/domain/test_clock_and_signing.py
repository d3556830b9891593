"""Instants, identities and signed names."""

import random
import re
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.domain.clock import (
    SECOND,
    from_datetime,
    new_trace,
    now_us,
    random_fraction,
    to_datetime,
    uuid7,
)
from imagemill.domain.signing import UrlSigner

INSTANTS = st.integers(0, 253_402_300_799 * SECOND)


@given(INSTANTS)
def test_a_uuid_is_of_version_7_and_the_rfc_s_variant(instant: int):
    value = uuid.UUID(uuid7(instant))
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == instant // 1000


@given(INSTANTS, INSTANTS)
def test_uuids_sort_by_millisecond(first: int, second: int):
    if first // 1000 < second // 1000:
        assert uuid7(first) < uuid7(second)


def test_uuids_of_one_instant_differ():
    assert len({uuid7(0) for _ in range(10_000)}) == 10_000


@given(st.integers(0, 4_102_444_800 * SECOND))
def test_an_instant_survives_as_a_datetime(instant: int):
    assert from_datetime(to_datetime(instant)) == instant


def test_a_naive_moment_is_utc():
    moment = datetime(2026, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - naive is the point
    assert from_datetime(moment) == from_datetime(moment.replace(tzinfo=UTC))
    assert (
        from_datetime(moment.replace(tzinfo=timezone(timedelta(hours=2))))
        == from_datetime(moment) - 7200 * SECOND
    )


def test_a_trace_is_a_traceparent():
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", new_trace())
    assert new_trace() != new_trace()


def test_a_random_fraction_is_below_one_and_leaves_the_shared_generator_alone():
    before = random.getstate()
    drawn = [random_fraction() for _ in range(1000)]
    assert random.getstate() == before
    assert 0 <= min(drawn) < 0.05
    assert 0.95 < max(drawn) < 1
    assert len(set(drawn)) == 1000


def signed(signer: UrlSigner, name: str = "blob") -> tuple[str, str]:
    match = re.fullmatch(r"exp=(\d+)&sig=([0-9a-f]+)", signer.sign(name).query)
    assert match
    return match[1], match[2]


SIGNER = UrlSigner(b"secret", life_s=3600)


def test_a_signed_name_is_accepted():
    assert SIGNER.check("blob", *signed(SIGNER))


def test_it_is_valid_for_its_life_and_a_minute_at_most():
    before = now_us()
    expires_at = SIGNER.sign("blob").expires_at
    assert before + 3599 * SECOND <= expires_at <= now_us() + 3661 * SECOND


def test_polling_sees_the_same_url_within_a_minute():
    queries = {SIGNER.sign("blob").query for _ in range(100)}
    assert len(queries) <= 2


def test_another_name_another_secret_another_time_are_refused():
    expires, signature = signed(SIGNER)
    assert not SIGNER.check("other", expires, signature)
    assert not UrlSigner(b"wrong", life_s=3600).check("blob", expires, signature)
    assert not SIGNER.check("blob", str(int(expires) + 60), signature)


@pytest.mark.parametrize("position", [0, 20, 42])
def test_a_changed_signature_is_refused(position: int):
    expires, signature = signed(SIGNER)
    changed = signature[:position] + ("0" if signature[position] != "0" else "1") + signature[position + 1 :]
    assert not SIGNER.check("blob", expires, changed)


@pytest.mark.parametrize("length", [0, 1, 42])
def test_a_shortened_signature_is_refused(length: int):
    expires, signature = signed(SIGNER)
    assert not SIGNER.check("blob", expires, signature[:length])


def test_an_expired_name_is_refused():
    old = UrlSigner(b"secret", life_s=-120)
    assert not old.check("blob", *signed(old))


@pytest.mark.parametrize(
    "expires", ["", "x", "-1", "1e9", "1.5", " 1", "٣", "²", "9" * 13, "9" * 5000, "0x10", "1_0"]
)
def test_an_odd_expiry_is_refused(expires: str):
    assert not SIGNER.check("blob", expires, "0" * 43)


@pytest.mark.parametrize("signature", ["", "é" * 43, "\x00", "0" * 10_000, "Z" * 43])
def test_an_odd_signature_is_refused(signature: str):
    expires, _ = signed(SIGNER)
    assert not SIGNER.check("blob", expires, signature)
