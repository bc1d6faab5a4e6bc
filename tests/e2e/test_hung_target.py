"""Queued work of one target while another one answers nothing."""

import json
from functools import partial
from pathlib import Path

from rig import Backstage, wait_until
from served import serving


def test_q10_work_of_another_target_runs_when_one_hangs(tmp_path: Path) -> None:
    """A target that answers nothing takes no more than its part of the process's places."""
    config = """
        [engine]
        demo = false
        [targets]
        hangs = { base_url = "{up}", dialects = ["chat"] }
        lives = { base_url = "{up}", dialects = ["chat"] }
        [models]
        hangs = { targets = ["hangs"], price = "free" }
        lives = { targets = ["lives"], price = "free" }
        [worker]
        concurrency = 4
        request_seconds = 0.01
    """
    with Backstage() as upstream, serving(config.replace("{up}", upstream.url), tmp_path) as served:
        for number in range(8):
            body = {"model": "hangs", "input": f"{{{{silent}}}} {number}", "background": True}
            assert served.call("/v1/responses", body)[0] == 200
        wait_until(lambda: sum(b"silent" in each.body for each in upstream.up.log) == 3, "three of them run")
        made = served.call("/v1/responses", {"model": "lives", "input": "hi", "background": True})[2]
        which = json.loads(made)["id"]
        wait_until(
            lambda: json.loads(served.call(f"/v1/responses/{which}")[2])["status"] == "completed",
            "the other target answers",
        )


def test_good_work_gets_the_probe_of_a_target_that_bad_requests_have_shut(tmp_path: Path) -> None:
    """Four that always fail shut it for queued work; whoever comes then is asked before any of them is tried again."""
    config = """
        [engine]
        demo = false
        [targets]
        up = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 5, open_seconds = 2.0 } }
        [models]
        m = { targets = ["up"], price = "free" }
    """
    with Backstage() as upstream, serving(config.replace("{up}", upstream.url), tmp_path) as served:

        def put(text: str) -> str:
            body = {"model": "m", "input": text, "background": True}
            return str(json.loads(served.call("/v1/responses", body)[2])["id"])

        def done(which: str) -> bool:
            return bool(json.loads(served.call(f"/v1/responses/{which}")[2])["status"] == "completed")

        def asked() -> list[str]:
            return [each.prompt for each in upstream.up.log]

        bad = [f"{{{{rst 0}}}} bad {number}" for number in range(4)]
        for each in bad:
            put(each)
        wait_until(lambda: set(bad) <= set(asked()), "all of them were tried")
        before = len(asked())
        good = [put(f"good {number}") for number in range(5)]
        wait_until(lambda: any("good" in each for each in asked()), "one of the good ones is asked")
        between = [each for each in asked()[before:] if "bad" in each]
        # Its connection is tried twice at most where it was kept open, by whoever had begun when the good ones came.
        assert len(between) <= 2, asked()
        for which in good:
            wait_until(partial(done, which), "the good ones are answered")
