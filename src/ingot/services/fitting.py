"""A request as one target is sent it: what this target takes of it, and the body that it gets.

    the client's call --its dialect: only what is this target's--> --translate, or prepare--> Fitted      Unfit: not by this route

Whoever waits learns of a refusal when the target's turn comes. Of work that nobody waits for, in the background or in a
batch, it is asked before that is taken, by each route (`check`): what all of them refuse would only fail later. Sends
nothing, and fetches nothing.
"""

from collections.abc import Sequence
from functools import partial

from msgspec import Struct

from ingot.catalog import Deployment, Route
from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.responses_makers import taken_by
from ingot.dialects.unnamed import only_named, without_null_thoughts
from ingot.errors import ClientError
from ingot.services.apart import LARGE, apart
from ingot.services.door import Inference
from ingot.services.images import refuse_images
from ingot.services.losses import Lossy, refuse_lossy
from ingot.services.places import own_places
from ingot.services.routing import routes_served
from ingot.services.translation import Translation, translate


class Unfit(Exception):
    """This target cannot take the call: nothing was sent. Carries what the client is told if no other can."""

    def __init__(self, error: ClientError) -> None:
        super().__init__(error.message)
        self.error = error


class Fitted(Struct):
    """What a target is sent: `call` is what is its own of the client's, `translation` how that is said in its dialect."""

    call: Call
    body: bytes
    translation: Translation | None


async def fit(inference: Inference, call: Call, route: Route) -> Fitted:
    """The request for this target; `call` is the inference's own with its images fetched. Raises Unfit."""
    size = len(call.body.data)
    try:
        if size <= LARGE:
            return _fit(inference, call, route)
        return await apart(size, partial(_fit, inference, call, route))
    except ClientError as refusal:
        raise Unfit(refusal) from refusal


def _fit(inference: Inference, call: Call, route: Route) -> Fitted:
    dialect = inference.dialect
    native = dialect.format in route.target.dialects
    if inference.deployment.unknown_thoughts == "relay" and call.composed:
        call = taken_by(call, route.target.name)
    if dialect.for_target is not None and (native or call.composed):
        call = dialect.for_target(call, route.target.name, native=native)
        refuse_lossy(call.losses, inference.deployment)
    if native and (route.target.quirks.guarded or inference.deployment.constitution is not None):
        call = only_named(call, dialect.format, deployment=inference.deployment.name)
        if route.target.quirks.guarded:
            call = without_null_thoughts(call)
    if native and not call.composed:
        return Fitted(call, _prepare(inference, call, route), None)
    with own_places(dialect, call):
        translation = None if native else translate(inference, call, route)
        body = translation.body if translation else _prepare(inference, call, route)
    return Fitted(call, body, translation)


def check(inference: Inference, call: Call) -> None:
    """Raises what its client would have been told while it waited, where no route takes the call; its files are in it.

    Belongs on a thread where the call is large.
    """
    routes = routes_served(inference.deployment, inference.dialect, inference.surface)
    if call.images:
        routes = routes_with_images(routes, inference, call)
    told: ClientError | None = None
    for route in routes:
        try:
            _fit(inference, call, route)
        except ClientError as error:
            told = worse(told, error)
        else:
            return
    if told is not None:
        raise told


def worse(told: ClientError | None, error: ClientError) -> ClientError:
    """Which of two routes' refusals is told, where no other route takes the call: the first that is no loss, or the last loss."""
    return error if told is None or isinstance(told, Lossy) else told


def takes_all(deployment: Deployment, dialect: Dialect) -> bool:
    """Whether a target is there that `check` finds nothing against, whatever else a call without images says."""
    if deployment.constitution is not None:
        return False
    if dialect.refuse_account_ids is not None and deployment.account_ids == "refuse":
        return False
    natives = [route for route in deployment.routes if dialect.format in route.target.dialects]
    return any(not route.target.quirks.reject and not route.target.quirks.gbnf for route in natives)


def routes_with_images(routes: Sequence[Route], inference: Inference, call: Call) -> Sequence[Route]:
    """The routes whose targets read images; raises ClientError where none does."""
    kept = [route for route in routes if route.images != "refuse"]
    if not kept:  # those that take images speak other dialects
        raise refuse_images(call.images[0], inference.deployment)
    return kept


def _prepare(inference: Inference, call: Call, route: Route) -> bytes:
    """The body for a target that speaks the client's dialect."""
    dialect, quirks = inference.dialect, route.target.quirks
    # What the client sent is judged, and what came before it: errors name places in it.
    judged = call if call.composed else inference.call
    deployment = inference.deployment
    dialect.check_target(judged, quirks, deployment.name)
    if dialect.refuse_account_ids is not None and deployment.account_ids == "refuse":
        dialect.refuse_account_ids(judged, deployment.name)
    if deployment.constitution is not None:
        call = dialect.preface(call, deployment.constitution)
    return dialect.prepare(call, model=route.model, quirks=quirks)
