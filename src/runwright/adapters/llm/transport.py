"""An HTTP client that does not read answers of any size into memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2


class AnswerTooLarge(httpx2.TransportError):
    """The endpoint sent more than is allowed."""


class _Limited(httpx2.AsyncByteStream):
    """A response body that stops after so many bytes."""

    def __init__(self, body: httpx2.AsyncByteStream, limit: int) -> None:
        self._body = body
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._body:
            seen += len(chunk)
            if seen > self._limit:
                raise AnswerTooLarge(f"more than {self._limit} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


class LimitedTransport(httpx2.AsyncHTTPTransport):
    """Refuses bodies above a limit, and asks for them uncompressed so that the limit holds."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Limited(response.stream, self._limit)
        return response
