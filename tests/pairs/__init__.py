"""Every client dialect before every target dialect: the features that pass between them, and what became of each.

asked      what a client asks, feature by feature, in each dialect's own words
told       what a target answers to it
streams    the same answer as each dialect streams it
exchange   one feature through one pair, and the golden files: `python -m pairs.exchange` writes them
longtalk   a coding agent's conversation of forty turns, in each dialect
"""
