"""The embedded engines of this process: one supervised child for each model, started when first asked for."""

from collections.abc import Callable, Iterable

from ingot.catalog import Target
from ingot.config import ENGINE_PREFIX
from ingot.upstream.engine import Engine, EngineAddress, EngineSpec
from ingot.upstream.link import Whereabouts

NewEngine = Callable[[EngineSpec], Engine]


class _Home:
    """Where one engine is; implements `Whereabouts`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: EngineAddress | None = None

    async def find(self) -> tuple[str, int, str]:
        await self._engine.start()
        self._last = address = await self._engine.origin()
        return address.host, address.port, address.key

    def doubt(self) -> None:
        if self._last is not None:
            self._engine.doubt(self._last)

    def describe(self) -> str:
        # One that nobody asked for yet is loaded when somebody does.
        engine = self._engine
        return "ok" if engine.ready or engine.state == "stopped" else f"engine {engine.state}"


class Engines:
    """Engines by model name; `new` makes the supervisor of one."""

    def __init__(self, new: NewEngine) -> None:
        self._new = new
        self.running: dict[str, Engine] = {}
        self._homes: dict[str, _Home] = {}

    def offer(self, specs: Iterable[EngineSpec]) -> None:
        """Adds what is not there yet; an engine once offered stays until the process ends."""
        for spec in specs:
            if spec.name not in self.running:
                engine = self.running[spec.name] = self._new(spec)
                self._homes[spec.name] = _Home(engine)

    def locate(self, target: Target) -> Whereabouts | None:
        """How to find `target`; None for a target with an address of its own."""
        if not target.embedded:
            return None
        return self._homes[target.base_url.removeprefix(ENGINE_PREFIX)]

    async def start(self, name: str) -> None:
        """Begins to load a model before it is asked for."""
        await self.running[name].start()

    async def stop(self, drain: float) -> None:
        """Ends every child; `drain` seconds for the answers that still run."""
        for engine in self.running.values():
            await engine.stop(drain)
