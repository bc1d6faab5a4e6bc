"""Header lines that answers get beside their own."""

from ingot.web.door import ending_lines


def test_end_of_a_model_is_told_in_two_headers() -> None:
    """Since when as a structured date, and on which day as an HTTP date, where that is known."""
    assert ending_lines(1_793_491_200, None) == b"deprecation: @1793491200\r\n"
    assert ending_lines(1_793_491_200, "2027-05-01") == (
        b"deprecation: @1793491200\r\nsunset: Sat, 01 May 2027 00:00:00 GMT\r\n"
    )
