"""The arithmetic of a load test."""

from ingot.upstream.loadfigures import Sample, percentile, spread, summarise


def test_percentile_when_between_two_values_interpolates() -> None:
    """The median of two values is their middle; the ends are the ends."""
    assert percentile([1.0, 3.0], 0.5) == 2.0
    assert [percentile([1.0, 2.0, 9.0], share) for share in (0.0, 0.5, 1.0)] == [1.0, 2.0, 9.0]
    assert percentile([4.0], 0.99) == 4.0


def test_spread_when_empty_is_none() -> None:
    """No value has no distribution."""
    assert spread([]) is None


def test_summarise_when_some_failed_counts_only_the_rest() -> None:
    """Rates are of whole answers over the wall time; errors are counted by kind."""
    good = Sample(seconds=0.5, first=0.25, gaps=(0.125, 0.125), tokens=3, prompt_tokens=7, counted=True)
    level = summarise(
        [good, good, Sample(seconds=9.0, error="http_429"), Sample(seconds=9.0, error="http_429")],
        concurrency=2,
        seconds=2.0,
    )
    assert (level.requests, level.succeeded, level.errors) == (4, 2, {"http_429": 2})
    assert (level.requests_per_second, level.tokens_per_second, level.prompt_tokens) == (1.0, 3.0, 14)
    assert level.first_token_ms is not None
    assert level.first_token_ms.p99 == 250.0
    assert level.inter_token_ms is not None
    assert level.inter_token_ms.mean == 125.0
    assert level.stream_tokens_per_second is not None
    assert level.stream_tokens_per_second.p50 == 8.0
    assert level.latency_ms is not None
    assert level.latency_ms.most == 500.0


def test_summarise_when_all_failed_has_no_distributions() -> None:
    """Nothing succeeded: rates are zero and there is nothing to spread."""
    level = summarise([Sample(seconds=1.0, error="connect_failed")], concurrency=1, seconds=0.0)
    assert (level.tokens_per_second, level.latency_ms, level.stream_tokens_per_second) == (0.0, None, None)


def test_speed_when_not_streamed_is_over_the_whole_answer() -> None:
    """Without a first token the whole time counts; one token alone has no speed."""
    assert Sample(seconds=0.5, tokens=4).tokens_per_second == 8.0
    assert Sample(seconds=0.5, tokens=1, first=0.1).tokens_per_second is None
