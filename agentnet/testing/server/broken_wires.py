"""Answers of the server double that break on the wire."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web


def hang_up(request: web.Request, *, reset: bool) -> None:
    """Close the connection of `request`, by a reset or politely."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if reset and connection is not None:
        # To linger for no time at all sends a reset instead of a goodbye.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    transport.close()


async def send_half(request: web.Request, raw: bytes) -> web.StreamResponse:
    """Announce all of `raw`, send half of it and close the connection."""
    response = await _begun(request, len(raw))
    await response.write(raw[: len(raw) // 2])
    hang_up(request, reset=False)
    return response


async def drip(request: web.Request, closing: asyncio.Event, drip_s: float) -> web.StreamResponse:
    """Send a blank every `drip_s` seconds until the client goes or `closing` is set."""
    response = await _begun(request, None)
    while not closing.is_set():
        await response.write(b" ")
        await asyncio.sleep(drip_s)
    return response


async def _begun(request: web.Request, length: int | None) -> web.StreamResponse:
    from aiohttp import web

    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = length
    await response.prepare(request)
    return response
