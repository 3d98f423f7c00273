"""Ends TLS on 127.0.0.1 and passes what it hears on to a port without."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from certificates import Signed


@contextmanager
def behind_tls(server: Signed, port: int, clients: Path | None = None) -> Iterator[int]:
    """The port of a proxy that has this certificate; `clients` is the authority that clients must be known to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    ends: list[asyncio.StreamWriter] = []

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)
        inside_reader, inside_writer = await asyncio.open_connection("127.0.0.1", port)
        ends.append(inside_writer)
        await asyncio.gather(_copy(reader, inside_writer), _copy(inside_reader, writer))

    async def start() -> asyncio.Server:
        return await asyncio.start_server(passed, "127.0.0.1", 0, ssl=context)

    async def stop() -> None:
        found.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for end in ends:
            end.transport.abort()
        for end in ends:
            with suppress(OSError):
                await asyncio.wait_for(end.wait_closed(), 5)

    found = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield found.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
