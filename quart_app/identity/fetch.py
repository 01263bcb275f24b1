"""Fetches a small document over HTTP, without blocking the event loop, within a deadline and a size."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from urllib.parse import SplitResult

import h11

from quart_app.errors import FetchFailed

CHUNK = 64 * 1024


async def fetch(address: SplitResult, tls: ssl.SSLContext, *, deadline: float, most: int) -> bytes:
    """The document at an address. Redirects are not followed, and no proxy is used.

    Args:
        address: http or https, without a user.
        tls: for https.
        deadline: seconds for all of it, the look-up of the host's name included.
        most: bytes that it may have.

    Raises:
        FetchFailed: there was no answer in time, another one than 200, or too much of it. The text says which.
    """
    try:
        async with asyncio.timeout(deadline):
            return await _fetch(address, tls, most)
    except TimeoutError:
        raise FetchFailed(f"no whole answer came within {deadline:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise FetchFailed(f"the certificate is not valid: {error.verify_message}") from error
    except OSError as error:
        raise FetchFailed(_reason(error)) from error
    except h11.ProtocolError as error:
        raise FetchFailed("the answer is no whole HTTP/1.1 response") from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}"
    if isinstance(error, socket.gaierror):
        return f"the host is not known: {error.strerror}"
    return os.strerror(error.errno) if error.errno else "the connection failed"


async def _fetch(address: SplitResult, tls: ssl.SSLContext, most: int) -> bytes:
    secure = address.scheme == "https"
    reader, writer = await asyncio.open_connection(
        address.hostname, address.port or (443 if secure else 80), ssl=tls if secure else None
    )
    try:
        connection = h11.Connection(our_role=h11.CLIENT)
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        headers = {"Host": address.netloc, "Accept": "application/json", "Connection": "close"}
        request = h11.Request(method="GET", target=target, headers=list(headers.items()))
        for event in (request, h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        return await _answer(reader, connection, most)
    finally:
        writer.transport.abort()  # all is read; a server that does not close is not waited for


async def _answer(reader: asyncio.StreamReader, connection: h11.Connection, most: int) -> bytes:
    body = bytearray()
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(CHUNK))
            case h11.Response(status_code=status) if status != 200:
                raise FetchFailed(f"the answer has status {status}")
            case h11.Data(data=data):
                body += data
                if len(body) > most:
                    raise FetchFailed(f"the answer has more than {most:,} bytes")
            case h11.EndOfMessage():
                return bytes(body)
