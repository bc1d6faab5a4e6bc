"""Queued work of one target while another one answers nothing."""

import json
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
