"""Credit that runs out under load, on one server and on several: what is spent is what was there.

A price makes each request's reserve known: the bytes of its body and its `max_tokens`, at their rates.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import Place, postgres_server
from ingot.pricing import Price, rates, usd
from operator_hands import Customer, Hands, house
from rig import Answer, Backstage, Line, chat, post, wait_until
from served import KEY, Served

INPUT, OUTPUT = 1, 2
CONFIG = """
    [targets.up]
    base_url = "{up}"
    [models.mock]
    targets = ["up"]
    price = { input = 1, output = 2 }
    attempts = 1
"""
PRICE = Price(rates(INPUT * 10**6, OUTPUT * 10**6))
COVERED = 10
AT_ONCE = 200
MOST_TOKENS = 1000
NODES = {"sqlite": 1, "postgres": 3}

Scene = tuple[Hands, list[Served], Backstage]


@pytest.fixture(scope="module", params=list(NODES))
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server on SQLite, then three on one PostgreSQL, with a plan that limits nothing."""
    folder = tmp_path_factory.mktemp("money")
    url = postgres_server().create() if request.param == "postgres" else ""
    hands = Hands(Place(request.param, folder / "data", url))
    count = NODES[request.param]
    with house(folder, CONFIG, hands, count=count) as (servers, upstream):
        hands.run("plans", "create", "open")
        yield hands, servers, upstream


def _reserve(body: bytes) -> int:
    """Units that a request may cost at most."""
    return PRICE.most(input_tokens=len(body), output_tokens=MOST_TOKENS, window="asap")


def _body(text: str, *, number: int = 0, most: int = MOST_TOKENS) -> bytes:
    """A request of the same length for every number."""
    return chat(f"{text} number {number:03d}", max_tokens=most)


def _post(body: bytes, customer: Customer) -> bytes:
    return post(body).replace(KEY.encode(), customer.key.encode())


def _ask(served: Served, customer: Customer, body: bytes) -> Answer:
    with Line(served.port) as line:
        line.send(_post(body, customer))
        return line.answer()


def _together(servers: list[Served], customer: Customer, bodies: list[bytes]) -> list[Answer]:
    """Sends all before reading any, spread over the servers."""
    lines = [Line(servers[place % len(servers)].port) for place in range(len(bodies))]
    for line, body in zip(lines, bodies, strict=True):
        line.send(_post(body, customer))
    answers = [line.answer() for line in lines]
    for line in lines:
        line.leave()
    return answers


class Watch(threading.Thread):
    """Looks at a balance all the while: with the command, and in the database itself."""

    def __init__(self, hands: Hands, org_id: str) -> None:
        super().__init__(daemon=True)
        self.lowest: list[int] = []
        self.shown: list[int] = []
        self._hands = hands
        self._org = org_id
        self._over = threading.Event()

    def run(self) -> None:
        query = f"SELECT balance, balance - held FROM balances WHERE org_id = '{self._org}'"  # noqa: S608  # our id
        while not self._over.is_set():
            for _ in range(20):
                self.lowest.extend(map(int, self._hands.rows(query)[0]))
                self._over.wait(0.02)
            self.shown.append(self._hands.standing(self._org)[0])

    def end(self) -> None:
        self._over.set()
        self.join()


def _settled(hands: Hands, org_id: str) -> int:
    """The balance, once no lease holds any of it."""
    wait_until(lambda: hands.rows(f"SELECT held FROM balances WHERE org_id = '{org_id}'") == [(0,)])  # noqa: S608  # an id of our own making
    return hands.standing(org_id)[0]


def test_ten_run_when_two_hundred_ask_and_ten_are_covered(scene: Scene) -> None:
    """The rest are told what to do; the balance never falls below zero and is exact to the unit; a top-up helps at once."""
    hands, servers, upstream = scene
    bodies = [_body("echo: {{delay 6}} one of", number=number) for number in range(AT_ONCE)]
    reserve = _reserve(bodies[0])
    customer = hands.customer("ten", plan="open", credit=usd(COVERED * reserve))
    before = len(upstream.up.log)
    watch = Watch(hands, customer.org_id)
    watch.start()
    answers = _together(servers, customer, bodies)
    watch.end()
    ran = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status != 200]
    assert len(ran) == len(upstream.up.log) - before <= COVERED
    assert len(ran) >= (COVERED if len(servers) == 1 else 1)
    assert {answer.status for answer in refused} == {402}
    for answer in refused:
        assert (answer.error["type"], answer.error["code"]) == ("insufficient_quota", "insufficient_quota")
        assert "Add credit, or lower max_tokens" in answer.error["message"]
        assert usd(reserve) in answer.error["message"]
    assert min(watch.lowest) >= 0
    assert min(watch.shown) >= 0
    usages = [json.loads(answer.body)["usage"] for answer in ran]
    costs = [
        used["prompt_tokens"] * INPUT * 10**6 + used["completion_tokens"] * OUTPUT * 10**6 for used in usages
    ]
    left = _settled(hands, customer.org_id)
    assert left == COVERED * reserve - sum(costs)
    assert sorted(cost for _, _, cost in hands.spent(customer.org_id)) == sorted(costs)
    # More than is left now: refused, then topped up by exactly what is missing, then answered.
    large = _body("echo: one of", most=MOST_TOKENS * (COVERED + 1))
    most = PRICE.most(input_tokens=len(large), output_tokens=MOST_TOKENS * (COVERED + 1), window="asap")
    for served in servers:
        assert _ask(served, customer, large).status == 402
    hands.run("credits", "add", "--org", customer.org_id, "--amount", usd(most - left))
    assert _ask(servers[-1], customer, large).status == 200
    hands.verified()


def test_key_stops_at_its_cap_when_others_of_the_organization_go_on(scene: Scene) -> None:
    """A cap of one key covers what it covers, on all servers together; a higher one is in force when it is set."""
    hands, servers, upstream = scene
    bodies = [_body("echo: {{delay 3}} one of", number=number) for number in range(20)]
    reserve = _reserve(bodies[0])
    customer = hands.customer("capped", plan="open", credit="5")
    cap = usd(3 * reserve)
    made = hands.run("keys", "create", "--name", "intern", "--org", customer.org_id, "--cap", cap)
    intern = Customer(customer.org_id, made["id"], made["key"])
    before = len(upstream.up.log)
    answers = _together(servers, intern, bodies)
    ran = [answer for answer in answers if answer.status == 200]
    assert 1 <= len(ran) == len(upstream.up.log) - before <= 3
    for answer in answers:
        if answer.status != 200:
            assert (answer.status, answer.error["code"]) == (402, "insufficient_quota")
            assert "whoever set it can raise it" in answer.error["message"]
    large = _body("echo: one of", most=MOST_TOKENS * 4)
    assert _ask(servers[0], intern, large).status == 402
    assert _ask(servers[0], customer, large).status == 200
    hands.run(
        "budgets", "set", "--org", customer.org_id, "--key", intern.key_id, "--period", "total", "--cap", "4"
    )
    wait_until(
        lambda: {_ask(each, intern, large).status for each in servers} == {200}, "the higher cap is in force"
    )
    hands.verified()


def test_budget_of_an_organization_holds_for_all_its_keys(scene: Scene) -> None:
    """It stops an organization that pays afterwards, too, within 5 s of being set; its end lets it go on."""
    hands, servers, _ = scene
    customer = hands.customer("afterwards", plan="open", postpaid=True)
    body = _body("echo: one of")
    for served in servers:
        assert _ask(served, customer, body).status == 200
    budget = hands.run("budgets", "set", "--org", customer.org_id, "--cap", "0")
    wait_until(
        lambda: {_ask(each, customer, body).status for each in servers} == {402}, "the budget is in force"
    )
    hands.run("budgets", "end", budget["id"], "--org", customer.org_id)
    wait_until(
        lambda: {_ask(each, customer, body).status for each in servers} == {200}, "the budget has ended"
    )
    hands.verified()


def test_c_50_request_is_refused_with_403_when_metask_has_no_credit(tmp_path: Path) -> None:
    """The preset says so; a promo code is used, and the same request is answered."""
    hands = Hands(Place("sqlite", tmp_path / "data", ""), preset="metask")
    with house(tmp_path, CONFIG, hands) as ((served,), upstream):
        customer = hands.customer("empty", plan="free")
        body = _body("echo: one of")
        answer = _ask(served, customer, body)
        assert (answer.status, answer.error["code"]) == (403, "insufficient_quota")
        assert "Add credit" in answer.error["message"]
        assert upstream.up.log == []
        hands.run("promo", "create", "--code", "WELCOME", "--amount", "1", "--most-uses", "1")
        hands.run("promo", "redeem", "WELCOME", "--org", customer.org_id)
        assert _ask(served, customer, body).status == 200
        ((_, output, cost),) = hands.spent(customer.org_id)
        assert output == 4
        assert _settled(hands, customer.org_id) == 10**12 - cost


def test_refusal_for_money_is_no_request_of_the_minute(scene: Scene) -> None:
    """Who has no credit hears so, however often; what is asked once there is credit finds the limits untouched."""
    hands, servers, _ = scene
    hands.run("plans", "create", "slow", "--rpm", "6")
    customer = hands.customer("slow", plan="slow")
    body = _body("nothing yet")
    answers = [_ask(servers[number % len(servers)], customer, body) for number in range(20)]
    assert {answer.status for answer in answers} == {402}
    hands.run("credits", "add", "--org", customer.org_id, "--amount", "1")
    answer = _ask(servers[0], customer, body)
    assert (answer.status, answer.headers["x-ratelimit-remaining-requests"]) == (200, "4")
