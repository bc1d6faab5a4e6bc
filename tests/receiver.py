"""Where webhooks arrive: a real HTTP server on a thread that notes every post and answers as it is told to.

Receiver().answer = how     `how` gets the post and how many came before it under the same id, and gives a Reply
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from ingot.conformance.subject import Delivery
from rig import wait_until


@dataclass(frozen=True, slots=True)
class Post:
    """What came; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """What tells repetitions from news."""
        return self.headers["webhook-id"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: `drip` seconds pass before each byte of the body, `mute` answers nothing at all."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    drip: float = 0.0
    mute: float = 0.0


class Receiver:
    """One receiver; `posts` are in the order of their coming."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answer: Callable[[Post, int], Reply] = lambda _, __: Reply()
        self.open = 0
        self.most_open = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(), bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.request_queue_size = 256
        self._server.server_bind()
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def section(self) -> str:
        """The configuration that lets a server call it."""
        return f'[webhooks]\nhttp = true\nports = [{self.port}]\nnetworks = ["127.0.0.0/8"]\n'

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, text: str) -> list[Post]:
        """The posts with a text in their body."""
        return [post for post in list(self.posts) if text.encode() in post.body]

    def until(self, text: str, count: int = 1) -> list[Post]:
        """`of`, once there are as many."""
        wait_until(lambda: len(self.of(text)) >= count, f"{count} webhooks with {text}")
        return self.of(text)

    def take(self, post: Post) -> Reply:
        """Notes a post and says what is answered."""
        with self._lock:
            before = sum(each.id == post.id for each in self.posts)
            self.posts.append(post)
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        return self.answer(post, before)

    def leave(self) -> None:
        """A post was answered."""
        with self._lock:
            self.open -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = receiver.take(Post(self.path, headers, body))
                try:
                    self._give(reply)
                except OSError:
                    self.close_connection = True  # whoever posted has left
                finally:
                    receiver.leave()

            def _give(self, reply: Reply) -> None:
                if reply.mute:
                    time.sleep(reply.mute)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                if not reply.drip:
                    self.wfile.write(reply.body)
                    return
                for place in range(len(reply.body)):
                    time.sleep(reply.drip)
                    self.wfile.write(reply.body[place : place + 1])
                    self.wfile.flush()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        return Handler


class Sink:
    """A receiver as the conformance suite sees it: each delivery once."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._taken = 0

    @property
    def url(self) -> str:
        """Where it is reached."""
        return self._receiver.url

    async def next(self) -> Delivery | None:
        """The next delivery; fails where none comes."""
        wait_until(lambda: len(self._receiver.posts) > self._taken, "a webhook")
        post = self._receiver.posts[self._taken]
        self._taken += 1
        return Delivery(post.headers, post.body)
