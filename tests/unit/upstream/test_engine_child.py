"""What leaves the engine's process by its log, and what enters it by its environment."""

from ingot.upstream.engine.child import EngineAddress, child_environ, harmless


def test_harmless_keeps_the_head_when_a_line_quotes_a_request() -> None:
    """Errors of a serving engine quote what the client sent; only what comes before is kept."""
    line = '0.03.477.810 W srv    operator(): got exception: {"error":{"message":"unrecognized type SECRET"}}'
    assert harmless(line) == "W srv    operator(): got exception"
    assert harmless("1.03.477.810 E common_chat_parse: cannot parse at 5: SECRET: x") == (
        "E common_chat_parse: cannot parse at 5"
    )


def test_harmless_drops_lines_without_a_stamp_when_they_are_no_native_fault() -> None:
    """A quoted text may have many lines, and only the first has the stamp."""
    assert harmless("my SECRET diary") == ""
    assert harmless("what(): parse error near 'SECRET'") == ""
    assert (
        harmless("/build/ggml.c:12: GGML_ASSERT(n_tokens > 0) failed") == "GGML_ASSERT(n_tokens > 0) failed"
    )


def test_child_environ_keeps_secrets_back() -> None:
    """A binary of somebody else's needs no key of the operator's; what tunes it passes."""
    environ = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "s",
        "HF_TOKEN": "s",
        "INGOT_BOOTSTRAP_KEY": "s",
        "db_password": "s",
        "LLAMA_ARG_MLOCK": "1",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert child_environ(environ) == {"PATH": "/bin", "LLAMA_ARG_MLOCK": "1", "CUDA_VISIBLE_DEVICES": "0"}


def test_address_hides_its_key_when_printed() -> None:
    """An address may end in a log."""
    assert "hush" not in repr(EngineAddress("127.0.0.1", 1, "hush"))
