"""`ingot bench` as a user runs it, against the scriptable upstream."""

import asyncio
import json
import os
import sys
from typing import Any

from upstream import ScriptedUpstream, Step


async def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `ingot bench`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ingot", "bench", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "100", **environ},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def measured(*arguments: str, **environ: str) -> dict[str, Any]:
    """The JSON result of a run that succeeds."""
    code, out, err = await run(*arguments, "--json", **environ)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


async def test_bench_when_streams_are_measured_reports_every_figure() -> None:
    """A sweep over two levels: all requests succeed, tokens come from usage, and each prompt is another one."""
    async with ScriptedUpstream(models=("a/first", "b")) as up:
        up.default = Step(gap=0.001)
        found = await measured(up.origin, "-c", "1,3", "-n", "6", "--max-tokens", "5")
        assert found["model"] == "a/first"
        assert [level["concurrency"] for level in found["levels"]] == [1, 3]
        for level in found["levels"]:
            assert (level["requests"], level["succeeded"], level["errors"]) == (6, 6, {})
            assert (level["tokens"], level["tokens_from_usage"]) == (30, True)
            assert level["first_token_ms"]["p50"] <= level["latency_ms"]["p50"]
            assert level["inter_token_ms"]["p50"] > 0
            assert level["stream_tokens_per_second"]["p50"] > 0
        asked = [record.json for record in up.log if record.method == "POST"]
        assert len({body["messages"][0]["content"] for body in asked}) == len(asked) == 13
        assert asked[0]["stream_options"] == {"include_usage": True}


async def test_bench_when_without_streams_uses_the_key_and_the_model() -> None:
    """The key comes from the environment, the model from its option, and no stream is asked for."""
    async with ScriptedUpstream(api_key="sk-up") as up:
        options = ("-c", "2", "-n", "4", "--no-stream", "--model", "mine")
        found = await measured(up.url, *options, INGOT_API_KEY="sk-up")
        level = found["levels"][0]
        assert (level["succeeded"], level["first_token_ms"], level["inter_token_ms"]) == (4, None, None)
        assert level["tokens"] > 0
        assert {record.json["model"] for record in up.log} == {"mine"}
        assert all("stream" not in record.json for record in up.log)
        assert "sk-up" not in json.dumps(found)
        code, _, err = await run(up.url, *options, INGOT_API_KEY="sk-wrong")
        assert code == 1
        assert "HTTP 401: Incorrect API key provided." in err


async def test_bench_when_requests_fail_counts_them_by_kind() -> None:
    """Failures of every kind are figures, not ends; the first request decides whether to go on."""
    async with ScriptedUpstream() as up:
        up.script(Step(), "fail 429", "fail 503 body html", "cut 3", "error-at 2", "hangup rst", "bad-json 1")
        up.script("framing close", "usage missing", "eol crlf ping 1", "drip 0", "keep-alive=false")
        code, out, err = await run(up.url, "-c", "1", "-n", "12", "--json")
        assert (code, err) == (0, "")
        level = json.loads(out)["levels"][0]
        kinds = ("http_429", "http_503", "connection_lost", "stream_error", "bad_json")
        assert level["errors"] == {**dict.fromkeys(kinds, 1), "connection_lost": 2}
        assert (level["succeeded"], level["tokens_from_usage"]) == (6, False)
        code, table, _ = await run(up.url, "-c", "2", "-n", "4")
        assert code == 0
        assert "first token, ms, p50" in table
        assert "4 of 4" in table


async def test_bench_when_nothing_answers_says_why() -> None:
    """An address without a server, one that is none, a list that is none."""
    async with ScriptedUpstream() as up:
        await up.refuse()
        code, out, err = await run(up.url)
        assert (code, out) == (1, "")
        assert "cannot be reached" in err
    assert (await run("ftp://somewhere"))[0] == 1
    assert (await run("http://127.0.0.1:1", "-c", "none"))[0] == 2
