"""The codecs: each dialect's way into the canonical form and out of it, one package a dialect."""
