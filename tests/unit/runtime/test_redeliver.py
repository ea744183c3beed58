from corral.runtime.backoff import redeliver_delay


def test_a_single_push_is_repeated_after_about_two_seconds_and_then_later_and_later():
    for published, seconds in enumerate((2, 4, 8, 16, 60, 60)):
        assert 0.7 * seconds <= redeliver_delay(published, 0) <= 1.3 * seconds


def test_the_last_of_ten_thousand_pushes_is_not_repeated_while_the_first_are_still_answering():
    assert redeliver_delay(0, 9_999) > 10
