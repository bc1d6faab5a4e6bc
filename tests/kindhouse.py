"""A server before each kind of target: a model of the name of each dialect."""

CONFIG = """
    [targets]
    chat = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    messages = { base_url = "{up}", dialects = ["messages"], breaker = { failures = 1000 } }
    responses = { base_url = "{up}", dialects = ["responses"], breaker = { failures = 1000 } }
    [models]
    chat = { targets = ["chat"], windows = ["asap", "standard", "flex"], price = "free", attempts = 1 }
    messages = { targets = ["messages"], windows = ["asap", "standard", "flex"], price = "free", attempts = 1 }
    responses = { targets = ["responses"], windows = ["asap", "standard", "flex"], price = "free", attempts = 1 }
"""
