"""The next items: bands, earliest due first, counters, shares, prefixes; without loading what waits (Q11-Q13)."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.scheduling.capacity import Room
from ingot.scheduling.choice import Head, Queue, choose, look
from ingot.scheduling.fairness import SCALE, charged

LATER = 1e9


def head(
    job: str,
    *,
    due: float = 1000.0,
    lift_at: float = LATER,
    estimate: int = 100,
    items: int = 1,
    prefix: str = "",
    target: float | None = None,
) -> Head:
    """A job of which nothing matters but what is said."""
    return Head(job, due, lift_at, estimate, items, prefix, target)


def chosen(queues: list[Queue], room: Room, *, now: float = 0.0, horizon: float = float("-inf")) -> list[str]:
    """The jobs of all items that get a permit, in order."""
    grants = choose(queues, room, now, horizon=horizon)
    return [job for grant in grants for job in [grant.job] * grant.items]


HEADS = st.lists(
    st.builds(
        head,
        st.just(""),
        due=st.integers(1, 500).map(float),
        lift_at=st.integers(-50, 400).map(float),
        estimate=st.integers(1, 5000),
        items=st.integers(1, 5),
    ),
    max_size=5,
)
QUEUES = st.lists(st.tuples(HEADS, st.integers(0, 10**6), st.integers(1, 8)), max_size=6).map(
    lambda rows: [
        Queue(f"o{place}", counter, weight, sorted(named(place, heads), key=lambda each: each.due))
        for place, (heads, counter, weight) in enumerate(rows)
    ]
)
ROOMS = st.tuples(st.integers(0, 12), st.integers(0, 6)).map(lambda row: Room(row[0], row[0] + row[1]))


def named(place: int, heads: list[Head]) -> list[Head]:
    """The heads with names of their own."""
    return [
        Head(f"{place}-{number}", each.due, each.lift_at, each.estimate, each.items)
        for number, each in enumerate(heads)
    ]


@given(QUEUES, ROOMS)
def test_q11_choosing_is_work_conserving_and_never_too_much(queues: list[Queue], room: Room) -> None:
    """Every permit that may be used is used while anything waits, none twice, and no item twice."""
    grants = choose(queues, room, 100.0)
    taken = sum(grant.items for grant in grants)
    lifted = sum(grant.items for grant in grants if grant.lifted)
    waiting = sum(each.items for queue in queues for each in queue.heads)
    urgent = sum(each.items for queue in queues for each in queue.heads if each.lift_at <= 100.0)
    assert lifted == min(urgent, room.lifted)
    assert taken == max(lifted, min(waiting, room.ordinary))
    most = {each.job: each.items for queue in queues for each in queue.heads}
    for job, found in itertools.groupby(sorted(grants, key=lambda grant: grant.job), lambda grant: grant.job):
        assert sum(grant.items for grant in found) <= most[job]


@given(QUEUES, ROOMS)
def test_q12_lifted_work_goes_before_all_other_by_due_moment(queues: list[Queue], room: Room) -> None:
    """Nothing that is at stake is left behind something that is due later, whoever owns it."""
    grants = choose(queues, room, 100.0)
    assert [grant.lifted for grant in grants] == sorted((grant.lifted for grant in grants), reverse=True)
    dues = {each.job: each.due for queue in queues for each in queue.heads}
    lifted = [dues[grant.job] for grant in grants if grant.lifted]
    assert lifted == sorted(lifted)
    got = {grant.job: grant.items for grant in grants if grant.lifted}
    left = [
        each.due
        for queue in queues
        for each in queue.heads
        if each.lift_at <= 100.0 and got.get(each.job, 0) < each.items
    ]
    assert not lifted or not left or max(lifted) <= min(left)


def test_q12_critical_work_is_lifted_too() -> None:
    """What is due by the horizon goes first although its own moment of lifting has not come."""
    queues = [Queue("a", 0, 1, [head("late", due=50.0)]), Queue("b", 10**9, 1, [head("soon", due=20.0)])]
    assert chosen(queues, Room(2, 2)) == ["late", "soon"]
    assert chosen(queues, Room(2, 2), horizon=20.0) == ["soon", "late"]


def test_q11_lifted_work_may_use_what_is_kept_for_asap() -> None:
    """With no ordinary permit left only work that is at stake begins."""
    queue = Queue("a", 0, 1, [head("waits", due=10.0), head("lifted", due=20.0, lift_at=0.0)])
    assert chosen([queue], Room(0, 3)) == ["lifted"]
    assert chosen([queue], Room(1, 3)) == ["lifted"]
    assert chosen([queue], Room(2, 3)) == ["lifted", "waits"]


def test_q13_the_smallest_counter_is_served_and_charged() -> None:
    """Two items of one organization, then the other has less; weights divide what is charged."""
    light = Queue("light", 0, 4, [head("l", estimate=400, items=9)])
    heavy = Queue("heavy", 150 * SCALE, 1, [head("h", estimate=400, items=9)])
    assert chosen([light, heavy], Room(4, 4)) == ["l", "l", "l", "h"]


def test_earliest_target_first_inside_an_organization() -> None:
    """A batch's job stands where its target is, not where its due moment is."""
    heads = [head("batch", due=9000.0, target=40.0), head("single", due=60.0)]
    assert chosen([Queue("a", 0, 1, heads)], Room(2, 2)) == ["batch", "single"]


def test_a_warm_prefix_goes_on_unless_the_first_one_is_due_sooner() -> None:
    """Equal beginnings stay together among jobs that are due about alike; nobody waits for it beyond that."""
    near = [head("first", due=100.0, prefix="x"), head("warm", due=110.0, prefix="w")]
    far = [head("first", due=100.0, prefix="x"), head("warm", due=500.0, prefix="w")]
    assert chosen([Queue("a", 0, 1, near, warm="w")], Room(1, 1)) == ["warm"]
    assert chosen([Queue("a", 0, 1, far, warm="w")], Room(1, 1)) == ["first"]
    other = Queue("b", 0, 1, [head("other", prefix="w")])
    assert chosen([Queue("a", 5, 1, near, warm="w"), other], Room(1, 1)) == ["other"]


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=5),
    st.lists(st.integers(1, 9000), min_size=40, max_size=40),
    st.integers(1, 7),
)
def test_q13_organizations_that_wait_differ_by_two_items(
    weights: list[int], sizes: list[int], permits: int
) -> None:
    """Over every stretch in which all wait, weighted service differs by twice the largest item at most."""
    largest = max(sizes) * SCALE
    counters = [0] * len(weights)
    served = [[0] * len(weights)]
    waiting = [(sizes[place:] + sizes[:place]) * 12 for place in range(len(weights))]
    for _ in range(60):
        queues = [
            Queue(
                str(place),
                counters[place],
                weight,
                [
                    head(f"{place}-{number}", estimate=size, due=1000.0 + number)
                    for number, size in enumerate(waiting[place][:permits])
                ],
            )
            for place, weight in enumerate(weights)
        ]
        for grant in choose(queues, Room(permits, permits), 0.0):
            place = int(grant.organization)
            counters[place] = charged(counters[place], grant.estimate, weight=weights[place])
            waiting[place].pop(0)
        served.append(list(counters))
    for one, other in itertools.combinations(range(len(weights)), 2):
        ahead = [row[one] - row[other] for row in served]
        assert max(ahead) - min(ahead) <= 2 * largest + 2 * SCALE


@given(ROOMS, st.integers(1, 40), st.integers(20, 60))
def test_choosing_from_the_heads_is_choosing_from_all(room: Room, organizations: int, jobs: int) -> None:
    """What `look` says suffices: the first rows of the neediest organizations give the same grants as everything."""
    everything = [
        Queue(
            f"o{org:02}",
            (org * 7919 % 101) * 50 * SCALE,
            1 + org % 3,
            [head(f"{org}-{number:02}", due=100.0 + number, estimate=10 + number) for number in range(jobs)],
        )
        for org in range(organizations)
    ]
    far = look(room)
    neediest = sorted(everything, key=lambda queue: (queue.counter, queue.organization))[: far.organizations]
    heads = [Queue(each.organization, each.counter, each.weight, each.heads[: far.rows]) for each in neediest]
    assert choose(heads, room, 0.0) == choose(everything, room, 0.0)


def test_most_bounds_what_is_taken() -> None:
    """A worker with two hands takes two items, whatever the target has room for."""
    queue = Queue("a", 0, 1, [head("j", items=9)])
    (grant,) = choose([queue], Room(8, 8), 0.0, most=2)
    assert (grant.items, grant.estimate, grant.organization) == (2, 100, "a")
