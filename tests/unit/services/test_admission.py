"""Admission: rates first, then money; all or nothing, with an estimate that learns and words that help."""

from dataclasses import dataclass, field, replace

import msgspec
import pytest

from ingot.catalog import Deployment
from ingot.clock import ManualClock
from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Attachment, Call
from ingot.dialects.messages import MESSAGES
from ingot.dialects.opaque import COMPLETIONS, EMBEDDINGS
from ingot.errors import QuotaExceeded
from ingot.limits.memory import MemoryLimiter
from ingot.pricing import Price, rates
from ingot.services.admission import LONGEST_ANSWER, MEDIA_TOKENS, USUAL_ANSWER, Gate, LimitReached
from ingot.services.grants import Grant
from ingot.services.keys import Principal
from ingot.services.purse import Hold, Payer

BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'


@dataclass
class Till:
    """A purse with a fixed sum, which notes what was asked of it."""

    left: int = 10**15
    asked: list[int] = field(default_factory=list)

    def draw(self, org_id: str, amount: int, *, payer: Payer) -> None:
        """It never has a lease at hand."""

    async def reserve(self, org_id: str, amount: int, *, payer: Payer) -> Hold:
        self.asked.append(amount)
        if amount > self.left:
            raise QuotaExceeded("too little")
        return Hold(org_id, amount, payer.prepaid)


def deployment(price: Price = Price.free, *, context: int | None = None) -> Deployment:
    """A model named m."""
    return Deployment(
        name="m",
        routes=(),
        strategy="ordered",
        price=price,
        context=context,
        windows=("asap",),
        attempts=1,
        owned_by="us",
        created=0,
        capabilities=frozenset({"chat"}),
    )


def call(more: bytes = b"") -> Call:
    """A chat call; `more` are further members."""
    return CHAT.decode(BODY[:-1] + more + b"}")


def principal(grant: Grant) -> Principal:
    """Who asks, with this grant."""
    return Principal("key_1", "kid", "name", "org_1", "inference", grant)


@pytest.fixture
def gate() -> tuple[Gate, ManualClock, Till]:
    """A gate with limits in memory."""
    clock, till = ManualClock(), Till()
    return Gate(MemoryLimiter(clock), till), clock, till  # type: ignore[arg-type]  # what a gate calls


Parts = tuple[Gate, ManualClock, Till]


async def test_nothing_is_reserved_when_nothing_is_limited(gate: Parts) -> None:
    """The operator's own organization neither counts nor pays in advance."""
    admission = await gate[0].admit(principal(Grant()), call(), deployment(), window="asap")
    assert (admission.reservation, admission.hold, admission.standing) == (None, None, None)
    assert gate[2].asked == []


async def test_sixth_request_is_refused_when_the_plan_allows_five(gate: Parts) -> None:
    """S1-06's rule: five at once, the sixth is told when to come again, and then it passes."""
    asker = principal(Grant(rpm=5))
    for left in (4, 3, 2, 1, 0):
        admission = await gate[0].admit(asker, call(), deployment(), window="asap")
        assert admission.standing is not None
        assert admission.standing.request_remaining == left
    with pytest.raises(
        LimitReached, match=r"limit of 5 requests a minute is reached. Try again in 12 s"
    ) as told:
        await gate[0].admit(asker, call(), deployment(), window="asap")
    assert told.value.retry_after == pytest.approx(12)
    gate[1].advance(12)
    await gate[0].admit(asker, call(), deployment(), window="asap")


async def test_lower_limit_of_the_key_counts_beside_the_organizations(gate: Parts) -> None:
    """Both are charged or none: what the key refuses costs the organization nothing."""
    narrow, wide = principal(Grant(rpm=60, key_rpm=5)), principal(Grant(rpm=60))
    for _ in range(5):
        await gate[0].admit(narrow, call(), deployment(), window="asap")
    with pytest.raises(LimitReached):
        await gate[0].admit(narrow, call(), deployment(), window="asap")
    admission = await gate[0].admit(wide, call(), deployment(), window="asap")
    assert admission.standing is not None
    assert admission.standing.request_remaining == 10 - 6


async def test_tokens_are_reserved_by_estimate_and_settled_by_use(gate: Parts) -> None:
    """What was not used comes back at once."""
    asker = principal(Grant(tpm=60_000))
    admission = await gate[0].admit(asker, call(b',"max_tokens":5000'), deployment(), window="asap")
    again = await gate[0].admit(asker, call(b',"max_tokens":1'), deployment(), window="asap")
    assert admission.standing is not None
    assert again.standing is not None
    reserved = 10_000 - admission.standing.token_remaining
    assert reserved == -(-(len(BODY) + 18) // 3) + 5000
    await gate[0].leave(admission, tokens=10)
    third = await gate[0].admit(asker, call(b',"max_tokens":1'), deployment(), window="asap")
    assert third.standing is not None
    assert third.standing.token_remaining > again.standing.token_remaining


async def test_request_is_told_to_shrink_when_it_alone_is_over_the_limit(gate: Parts) -> None:
    """Waiting would not help."""
    with pytest.raises(LimitReached, match="This request alone asks for more") as told:
        await gate[0].admit(
            principal(Grant(tpm=1000)), call(b',"max_tokens":5000'), deployment(), window="asap"
        )
    assert (told.value.retry_after, told.value.headers) == (None, (("x-should-retry", "false"),))


async def test_running_requests_are_bounded_until_they_leave(gate: Parts) -> None:
    """Concurrency is given back, however often one leaves."""
    asker = principal(Grant(concurrency=1))
    admission = await gate[0].admit(asker, call(), deployment(), window="asap")
    with pytest.raises(LimitReached, match="1 requests at the same time"):
        await gate[0].admit(asker, call(), deployment(), window="asap")
    await gate[0].leave(admission, tokens=0)
    await gate[0].leave(admission, tokens=0)
    await gate[0].admit(asker, call(), deployment(), window="asap")


async def test_money_is_reserved_for_the_dearest_end(gate: Parts) -> None:
    """Every byte could be a token; an answer without a limit may fill the context, or what is usual at most."""
    price = Price(rates(2, 3))
    asker = principal(Grant(prepaid=True))
    for more, context, answer in (
        (b',"max_tokens":7', None, 7),
        (b',"max_tokens":7,"n":3', None, 21),
        (b"", 4096, 4096),
        (b"", None, LONGEST_ANSWER),
    ):
        asked = call(more)
        await gate[0].admit(asker, asked, deployment(price, context=context), window="asap")
        assert gate[2].asked[-1] == 2 * len(asked.body.data) + 3 * answer


async def test_rates_are_given_back_when_the_money_is_not_there(gate: Parts) -> None:
    """A refusal for money costs no place, no tokens and no request, of the organization and of the key."""
    gate[2].left = 0
    asker = principal(Grant(prepaid=True, concurrency=1, rpm=5, tpm=60_000, key_rpm=5))
    dear = deployment(Price(rates(1, 1)))
    for _ in range(20):
        with pytest.raises(QuotaExceeded):
            await gate[0].admit(asker, call(), dear, window="asap")
    admission = await gate[0].admit(asker, call(), deployment(), window="asap")
    assert admission.standing is not None
    assert admission.standing.request_remaining == 4
    assert admission.standing.token_remaining >= 10_000 - USUAL_ANSWER - len(BODY)


async def test_free_model_asks_for_no_money(gate: Parts) -> None:
    """An empty balance is no reason against what costs nothing."""
    gate[2].left = 0
    admission = await gate[0].admit(principal(Grant(prepaid=True)), call(), deployment(), window="asap")
    assert admission.hold is None


async def test_replay_counts_as_a_request_and_no_tokens(gate: Parts) -> None:
    """I09: an answer that is given again."""
    asker = principal(Grant(rpm=5, tpm=10, prepaid=True))
    admission = await gate[0].count(asker)
    assert admission.standing is not None
    assert admission.standing.request_remaining == 4
    assert gate[2].asked == []


async def test_l05_estimate_follows_what_answers_count(gate: Parts) -> None:
    """A model whose tokens are long is reserved fewer of them in time; another model's estimate stays."""
    asked = call()
    before = gate[0].estimate(asked, deployment())
    for _ in range(200):
        gate[0].learn("m", size=600, tokens=100)
    assert gate[0].estimate(asked, deployment()) in (
        len(BODY) // 6 + USUAL_ANSWER,
        len(BODY) // 6 + USUAL_ANSWER + 1,
    )
    assert gate[0].estimate(asked, deployment()) < before
    assert gate[0].estimate(asked, replace(deployment(), name="other")) == before


async def test_picture_is_reserved_for_although_its_address_is_short(gate: Parts) -> None:
    """What a picture costs is not told by the bytes of its URL."""
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[%b]}]}'
    part = b'{"type":"image_url","image_url":{"url":"https://x.org/a.png"}}'
    for count in (1, 3):
        asked = CHAT.decode(body % b",".join([part] * count))
        await gate[0].admit(
            principal(Grant(prepaid=True)), asked, deployment(Price(rates(1, 1))), window="asap"
        )
        assert gate[2].asked[-1] == len(asked.body.data) + count * MEDIA_TOKENS + 1


async def test_blocks_of_messages_are_reserved_for_although_a_file_has_only_an_id(gate: Parts) -> None:
    """An image counts as a picture does elsewhere, a document as many of them."""
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[%b]}]}'
    image = b'{"type":"image","source":{"type":"url","url":"https://x.org/a.png"}}'
    document = b'{"type":"document","source":{"type":"url","url":"https://x.org/a.pdf"}}'
    for parts, images in (([image], 1), ([image] * 3, 3), ([image, document], 17)):
        asked = MESSAGES.decode(body % b",".join(parts))
        await gate[0].admit(
            principal(Grant(prepaid=True)), asked, deployment(Price(rates(1, 1))), window="asap"
        )
        assert gate[2].asked[-1] == len(asked.body.data) + images * MEDIA_TOKENS + 1


async def test_picture_is_reserved_for_although_its_key_is_escaped(gate: Parts) -> None:
    """However the part is written, it counts."""
    asked = CHAT.decode(
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":'
        b'[{"type":"image\\u005furl","image\\u005furl":{"url":"https://x.org/a.png"}}]}]}'
    )
    await gate[0].admit(principal(Grant(prepaid=True)), asked, deployment(Price(rates(1, 1))), window="asap")
    assert gate[2].asked == [len(asked.body.data) + MEDIA_TOKENS + 1]


async def test_constitution_is_reserved_for_beside_the_request(gate: Parts) -> None:
    """What goes before every request is paid with it, in money and in tokens of the rate."""
    asked = call(b',"max_tokens":1')
    carrying = replace(deployment(Price(rates(1, 1))), added=3000)
    await gate[0].admit(principal(Grant(prepaid=True)), asked, carrying, window="asap")
    assert gate[2].asked == [len(asked.body.data) + 3000 + 1]
    assert gate[0].estimate(asked, carrying) == gate[0].estimate(asked, deployment()) + 1000


async def test_drafts_are_reserved_for_although_one_is_given(gate: Parts) -> None:
    """`best_of` generates, and bills, more than it gives."""
    data = b'{"model":"m","prompt":["a","b"],"best_of":20,"max_tokens":100}'
    asked = COMPLETIONS.decode(data)
    await gate[0].admit(principal(Grant(prepaid=True)), asked, deployment(Price(rates(0, 1))), window="asap")
    assert gate[2].asked == [20 * 2 * 100]


async def test_embedding_reserves_no_answer(gate: Parts) -> None:
    """There is no text to come."""
    asked = EMBEDDINGS.decode(b'{"model":"m","input":"hi"}')
    await gate[0].admit(principal(Grant(prepaid=True)), asked, deployment(Price(rates(1, 1))), window="asap")
    assert gate[2].asked == [len(asked.body.data)]
    admission = await gate[0].admit(principal(Grant(tpm=1000)), asked, deployment(), window="asap")
    assert admission.standing is not None


async def test_bytes_of_files_count_when_they_are_put_in_later(gate: Parts) -> None:
    """Rates and money count what a file adds as if the request had held it, and a file as the images of its pages."""
    plain = call(b',"max_tokens":1')
    place = ("messages", 0, "content", 0, "file", "file_id")
    files = (Attachment(place, "file-1", "file"), Attachment(place, "file-2", "image"))
    filled = msgspec.structs.replace(plain, files=files, attached=30_000)
    asker = principal(Grant(prepaid=True))
    for asked in (plain, filled):
        await gate[0].admit(asker, asked, deployment(Price(rates(1, 1))), window="asap")
    small, large = gate[2].asked
    assert large - small == 30_000 + 17 * MEDIA_TOKENS
    assert gate[0].estimate(filled, deployment()) - gate[0].estimate(plain, deployment()) == 10_000
