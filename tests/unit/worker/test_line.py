"""Who is next of those that were leased and wait for a place: lifted work, then whoever had least service."""

from collections.abc import Sequence

from ingot.worker.line import Line, Turn

MOST = 1000


def begun(line: Line, turns: Sequence[Turn]) -> list[Turn]:
    """These items, in the order in which they get a place."""
    places = {line.add(turn): turn for turn in turns}
    order = []
    while (place := line.next(ordinary=True)) is not None:
        place.set_result(None)
        order.append(places[place])
    return order


async def test_q13_organizations_take_turns_by_weight() -> None:
    """Of items of one size the organization with four times the weight has four of five places."""
    small = [Turn("org_a", 1, 100) for _ in range(50)]
    large = [Turn("org_b", 4, 100) for _ in range(50)]
    order = [turn.org_id for turn in begun(Line(), small + large)]
    assert order[:50].count("org_b") == 40


async def test_q13_who_comes_back_saved_up_nothing_and_lost_nothing() -> None:
    """An organization whose items come one at a time has every second place, however often its turn is over."""
    line = Line()
    for _ in range(MOST):
        line.add(Turn("org_a", 1, 100))
    order: list[str] = []
    for _ in range(100):
        if "org_b" not in order[-1:]:
            line.add(Turn("org_b", 1, 100))
        before = line.organizations
        place = line.next(ordinary=True)
        assert place is not None
        place.set_result(None)
        order.append("org_b" if line.organizations < before else "org_a")
    assert 49 <= order.count("org_b") <= 51


async def test_items_of_one_organization_begin_by_target() -> None:
    """A request that is due before the rest of a batch does not wait for it."""
    batch = [Turn("org_a", 1, 100, target=9) for _ in range(5)]
    single = Turn("org_a", 1, 100, target=3)
    assert begun(Line(), [*batch, single])[0] is single


async def test_lifted_items_are_first() -> None:
    """Those may begin where no other may."""
    line = Line()
    usual, urgent = line.add(Turn("org_a", 1, 100)), line.add(Turn("org_b", 1, 100, lifted=True))
    assert line.next(ordinary=False) is urgent
    assert line.next(ordinary=False) is None
    assert line.next(ordinary=True) is usual
    assert not line


async def test_nobody_is_next_who_waits_no_more() -> None:
    """An item that was given back leaves no gap, and its organization is forgotten with its last one."""
    line = Line()
    gone, stays = line.add(Turn("org_a", 1, 100)), line.add(Turn("org_b", 1, 100))
    gone.cancel()
    assert line.organizations == 1
    assert line.next(ordinary=True) is stays
    assert not line
