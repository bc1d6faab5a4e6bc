"""Faults of those who are told: receivers of webhooks that are dead, slow, fail, or send elsewhere."""

from faults.load import Mix
from faults.run import Run
from receiver import Post, Reply
from rig import wait_until

SLOW = 1.0
"""Seconds for which a receiver says nothing before it hangs up."""
OPEN = "SELECT count(*) FROM webhook_deliveries WHERE done_at IS NULL AND url = '{url}'"


def receivers_fail(run: Run) -> None:
    """F18: receivers are dead, slow, fail or send elsewhere: work goes on as ever, and each event reaches whom it is for, and nobody else."""
    sink, trap = run.nodes.sink, run.nodes.trap
    harms = [
        Reply(500),
        Reply(503, {"retry-after": "1"}),
        Reply(302, {"location": trap.url}),
        Reply(mute=SLOW),
    ]
    taken: list[Post] = []

    def answer(post: Post, before: int) -> Reply:
        # Few enough fail that its breaker stays closed.
        if not before and run.draw.random() < 0.3:
            return run.draw.choice(harms)
        taken.append(post)
        return Reply()

    sink.answer = answer
    work = Mix(clients={"stream": 1, "sync": 1, "background": 4, "batch": 1}, hook=sink.url)
    nobody = Mix(clients={"background": 2}, hook=run.nodes.nobody, heard=False)
    with run.load(nobody), run.load(work) as load:
        load.until_done(24)
    query = OPEN.format(url=sink.url)
    wait_until(lambda: run.nodes.place.run(query) == [(0,)], "all is told that can be")
    assert len(sink.posts) > len(taken)
    run.proved(taken)
    assert not run.failures
    assert trap.posts == []
