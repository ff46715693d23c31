"""A scripted OpenAI-compatible server on loopback: real HTTP, answers as a test wrote them.

    with ScriptedModel([status(429, {"Retry-After": "0"}), answer({"failure_type": ...})]) as server:
        ...  # server.base_url, server.requests

The script is used up in order; its last entry stays. An entry may be a function of the request's JSON.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What the server does with one request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang: bool = False
    """Accept the request and say nothing until the server ends."""
    cut: bool = False
    """Close the connection after half of the body."""
    typed: Any = None
    """An answer to be put into a tool call or plain text, as the request wants it."""


Entry = Reply | Callable[[dict[str, Any]], Reply]


def answer(value: Any) -> Reply:
    """A typed answer: as a tool call where tools are offered, else as JSON text."""
    return Reply(typed=value)


def text(content: str | None, *, refusal: str | None = None, finish: str = "stop") -> Reply:
    """A plain chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if refusal is not None:
        message["refusal"] = refusal
    return Reply(body=_completion(message, finish))


def status(code: int, headers: dict[str, str] | None = None, body: str = '{"error": {"message": "scripted"}}') -> Reply:
    return Reply(status=code, headers=headers or {}, body=body.encode())


def hang() -> Reply:
    return Reply(hang=True)


def cut() -> Reply:
    return Reply(body=_completion({"role": "assistant", "content": "x" * 4000}, "stop"), cut=True)


def truncated(value: Any) -> Reply:
    """A tool call whose arguments end in the middle."""
    return Reply(body=_completion(_call(json.dumps(value)[: len(json.dumps(value)) // 2]), "length"))


def huge(size: int) -> Reply:
    return text("x" * size)


def _call(arguments: str) -> dict[str, Any]:
    function = {"name": "answer", "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


def _completion(message: dict[str, Any], finish: str, prompt_tokens: int = 1000, completion_tokens: int = 100) -> bytes:
    data = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1767603600,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }
    return json.dumps(data).encode()


class ScriptedModel:
    """The server. A context manager; leaves no thread or socket behind."""

    def __init__(self, script: Sequence[Entry] | Entry) -> None:
        self._script: list[Entry] = list(script) if isinstance(script, Sequence) else [script]
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.requests: list[dict[str, Any]] = []
        """The JSON of every request, in order."""
        self.headers: list[dict[str, str]] = []

    @property
    def base_url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ScriptedModel:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, request: dict[str, Any]) -> Reply:
        with self._lock:
            self.requests.append(request)
            entry = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        return entry(request) if callable(entry) else entry

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length", "0"))
        request = json.loads(handler.rfile.read(length) or b"{}")
        with self._lock:
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        reply = self._next(request)
        handler.close_connection = True
        if reply.hang:
            self._ended.wait(60)
            return
        body = reply.body
        if reply.typed is not None:
            given = json.dumps(reply.typed)
            wants_tool = bool(request.get("tools"))
            body = _completion(_call(given), "tool_calls") if wants_tool else _completion(
                {"role": "assistant", "content": given}, "stop"
            )  # fmt: skip
        try:
            handler.send_response(reply.status)
            handler.send_header("Content-Type", "application/json")
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body)))
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2] if reply.cut else body)
            handler.wfile.flush()
            if reply.cut:
                handler.connection.shutdown(socket.SHUT_RDWR)
        except (BrokenPipeError, ConnectionResetError):
            return  # the client gave up, as some tests want


def prompt_of(request: dict[str, Any]) -> str:
    """All text that the model was sent."""
    return "\n".join(
        message["content"] if isinstance(message["content"], str) else json.dumps(message["content"])
        for message in request["messages"]
        if message.get("content")
    )
