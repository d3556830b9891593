"""Who gets a sender, and who has to wait."""

from imagemill.webhooks.delivery import SENDERS, BlockedTarget, DeliverySlots, DeliveryTarget


def fill(senders: DeliverySlots, lanes: list[DeliveryTarget], now: float = 0.0) -> list[int]:
    """The keys that got one, of as many as may be for each lane in turn."""
    return [key for key, target in enumerate(lanes) if senders.take(key, target, now) is None]


def prove(senders: DeliverySlots, target: DeliveryTarget) -> None:
    assert senders.take("proof", target, 0.0) is None
    senders.give_back("proof", well=True, took_s=0.01, now=0.0)


def fail(senders: DeliverySlots, target: DeliveryTarget, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        assert senders.take("failure", target, now) is None
        senders.give_back("failure", well=False, took_s=0.01, now=now)


def test_a_lane_gets_four_senders():
    assert len(fill(DeliverySlots(rest_s=1), [DeliveryTarget("ann", "http://a")] * 20)) == 4


def test_asking_whether_a_lane_is_held_takes_no_sender():
    senders, target = DeliverySlots(rest_s=1), DeliveryTarget("ann", "http://a")
    for key in range(4):
        assert not senders.is_held(target, 0.0)
        assert senders.take(key, target, 0.0) is None
    assert senders.is_held(target, 0.0)
    senders.give_back(0, well=True, took_s=0.01, now=0.0)
    assert not senders.is_held(target, 0.0)


def test_an_account_gets_eight_senders_whatever_it_calls():
    assert (
        len(
            fill(DeliverySlots(rest_s=1), [DeliveryTarget("ann", f"http://{number}") for number in range(20)])
        )
        == 8
    )


def test_a_receiver_gets_eight_senders_whoever_calls_it():
    assert (
        len(fill(DeliverySlots(rest_s=1), [DeliveryTarget(f"a{number}", "http://a") for number in range(20)]))
        == 8
    )


def test_receivers_that_are_not_known_leave_some_for_one_that_is_well():
    senders, well = DeliverySlots(rest_s=1), DeliveryTarget("bob", "http://well")
    prove(senders, well)
    unknown = [DeliveryTarget(f"a{number}", f"http://{number}") for number in range(100)]
    assert len(fill(senders, unknown)) == 24 < SENDERS
    assert senders.take("well", well, 0.0) is None


def test_receivers_that_failed_leave_most_for_others_that_are_not_known():
    senders = DeliverySlots(rest_s=1)
    lanes = [DeliveryTarget(f"a{number}", f"http://{number}") for number in range(100)]
    for target in lanes:
        fail(senders, target, 1)
    assert len(fill(senders, lanes)) == 8
    assert senders.take("new", DeliveryTarget("bob", "http://new"), 0.0) is None


def test_a_receiver_that_was_slow_gets_one_sender():
    senders, target = DeliverySlots(rest_s=1), DeliveryTarget("ann", "http://a")
    assert senders.take("slow", target, 0.0) is None
    senders.give_back("slow", well=True, took_s=5.0, now=5.0)
    assert len(fill(senders, [target] * 5)) == 1


def test_a_receiver_that_fails_again_and_again_rests_longer_each_time_and_a_minute_at_most():
    senders, target = DeliverySlots(rest_s=5), DeliveryTarget("ann", "http://a")
    fail(senders, target, 3)
    assert senders.take("early", target, 4.9) == BlockedTarget("ann", "http://a", "")
    fail(senders, target, 1, now=5.0)
    assert senders.take("early", target, 14.9) is not None
    now = 15.0
    for _ in range(20):
        fail(senders, target, 1, now=now)
        now += 60.0
    assert senders.take("late", target, now) is None


def test_a_rest_is_over_when_somebody_says_so_but_a_suspect_stays_one():
    senders, target = DeliverySlots(rest_s=1000), DeliveryTarget("ann", "http://a")
    fail(senders, target, 3)
    senders.reset_backoff(target)
    assert len(fill(senders, [target] * 5)) == 1


def test_one_endpoint_that_fails_does_not_make_another_of_its_receiver_rest():
    senders = DeliverySlots(rest_s=1000)
    fail(senders, DeliveryTarget("ann", "http://a", "one"), 3)
    assert senders.take("other", DeliveryTarget("ann", "http://a", "two"), 0.0) is None
