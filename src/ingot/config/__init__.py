"""Configuration: TOML, environment and options, checked and frozen.

    text --parse--> tree --interpolate--> tree --overlay--> tree --shape--> Config --check--> Config

Knows nothing of the modules that are configured by it.
"""

from ingot.config.address import (
    Address,
    Network,
    is_loopback,
    read_address,
    read_network,
    without_port,
)
from ingot.config.checks import bind_problem, price_problem
from ingot.config.days import first_second
from ingot.config.environment import config_file, environment_warnings
from ingot.config.extras import CardConfig
from ingot.config.files import Loaded, from_disk
from ingot.config.images import Handling, ImagesConfig
from ingot.config.load import effective, load
from ingot.config.model import (
    DIALECTS,
    ENGINE_PREFIX,
    BreakerConfig,
    Config,
    EngineConfig,
    LimitsConfig,
    ModelConfig,
    QuirksConfig,
    RouteConfig,
    TargetConfig,
    TimeoutsConfig,
)
from ingot.config.platform import AccountsConfig, LimiterConfig, MailConfig, StoreConfig, WorkerConfig
from ingot.config.prices import PriceConfig, RatesConfig
from ingot.config.problems import ConfigError, Problem, quoted
from ingot.config.secrets import database_url, redacted, redacted_url, unread, with_secrets
from ingot.config.server import PRESETS, ServerConfig
from ingot.config.shape import nearest, suggestion
from ingot.config.webhooks import WebhooksConfig
from ingot.config.windows import SHIPPED_WINDOWS, OnMiss, WindowConfig

__all__ = [
    "DIALECTS",
    "ENGINE_PREFIX",
    "PRESETS",
    "SHIPPED_WINDOWS",
    "AccountsConfig",
    "Address",
    "BreakerConfig",
    "CardConfig",
    "Config",
    "ConfigError",
    "EngineConfig",
    "Handling",
    "ImagesConfig",
    "LimiterConfig",
    "LimitsConfig",
    "Loaded",
    "MailConfig",
    "ModelConfig",
    "Network",
    "OnMiss",
    "PriceConfig",
    "Problem",
    "QuirksConfig",
    "RatesConfig",
    "RouteConfig",
    "ServerConfig",
    "StoreConfig",
    "TargetConfig",
    "TimeoutsConfig",
    "WebhooksConfig",
    "WindowConfig",
    "WorkerConfig",
    "bind_problem",
    "config_file",
    "database_url",
    "effective",
    "environment_warnings",
    "first_second",
    "from_disk",
    "is_loopback",
    "load",
    "nearest",
    "price_problem",
    "quoted",
    "read_address",
    "read_network",
    "redacted",
    "redacted_url",
    "suggestion",
    "unread",
    "with_secrets",
    "without_port",
]
