"""Everything that a service needs, in one frozen record; `app.py` fills it and replaces it whole on a reload."""

import random
from dataclasses import dataclass

from ingot.catalog import Catalog
from ingot.clock import Clock
from ingot.config import Config
from ingot.logs import Log
from ingot.presets import Preset
from ingot.services.admission import Gate
from ingot.services.attachments import Attachments
from ingot.services.desk import Desk
from ingot.services.history import History
from ingot.services.idempotency import Retries
from ingot.services.images import Images
from ingot.services.jobs import Jobs
from ingot.services.keys import KeyRing
from ingot.services.measures import Measures
from ingot.services.recording import Recorder
from ingot.upstream.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts of one running process."""

    config: Config
    catalog: Catalog
    preset: Preset
    keys: KeyRing
    fleet: Fleet
    measures: Measures
    recorder: Recorder
    gate: Gate
    retries: Retries
    jobs: Jobs
    desk: Desk
    history: History
    images: Images
    attachments: Attachments
    clock: Clock
    rng: random.Random
    log: Log
