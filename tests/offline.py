"""A first start and one answer without any network: run as a program, in a network namespace of its own.

    unshare --net python offline.py FOLDER      or, where a user may not do that,
    unshare --map-root-user --net python offline.py FOLDER

With `--watched` first, there is no namespace and somebody else refuses connections.
It raises the loopback interface, shows that nothing else can be reached, serves, asks, and prints the answer.
"""

import contextlib
import errno
import fcntl
import socket
import struct
import sys
from pathlib import Path

from served import serving

SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
OUTSIDE = ("192.0.2.1", 9)
"""An address that no network has (RFC 5737)."""


def raise_loopback() -> None:
    """What `ip link set lo up` does; a new namespace has its loopback interface down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        row = struct.Struct("16sH14x")
        flags = row.unpack(fcntl.ioctl(control, SIOCGIFFLAGS, row.pack(b"lo", 0)))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, row.pack(b"lo", flags | IFF_UP))


def is_cut_off() -> bool:
    """Whether there is no way out of here."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        # Connecting a datagram socket sends nothing: it asks for a route.
        try:
            probe.connect(OUTSIDE)
        except OSError as error:
            return error.errno == errno.ENETUNREACH
        return False


def main() -> None:
    """Prints the demo model's answer."""
    *mode, folder = sys.argv[1:]
    if mode != ["--watched"]:
        raise_loopback()
    if not is_cut_off():
        raise SystemExit("there is still a way out")
    with serving("", Path(folder)) as served:
        status, _, answer = served.chat("Hello! What is this server?", model="demo-tiny")
        if status != 200:
            raise SystemExit(str(answer))
        print(answer["choices"][0]["message"]["content"])  # noqa: T201  # what the test reads


if __name__ == "__main__":
    main()
