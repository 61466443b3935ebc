"""Who is answered: the page itself, under its own names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gan_inversion.app.server import HEADERS, guarded


def status(names: Sequence[str], **headers: str) -> int:
    """Of an answer to a request with these headers."""
    told: list[dict[str, Any]] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    scope = {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(guarded(site, names)(scope, None, send))
    assert {name.decode() for name, _ in told[0]["headers"]} == {name.lower() for name in HEADERS}
    return int(told[0]["status"])


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:1", "[::1]:7860", "[::1]"])
def test_its_own_names(host: str) -> None:
    assert status(["127.0.0.1", "localhost", "::1"], host=host) == 200


@pytest.mark.parametrize("host", ["evil.example:7860", "127.0.0.1.evil.example", "", "[", "localhost@evil.example"])
def test_only_by_its_names(host: str) -> None:
    """Whatever address it is served on: a name that leads here may be anybody's."""
    names = ["127.0.0.1", "localhost", "::1"]
    assert status(names, host=host) == 421
    assert status([*names, "faces.example"], host="faces.example") == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9999"])
def test_what_another_site_sends_is_refused(origin: str) -> None:
    assert status(["localhost"], host="localhost:7860", origin=origin) == 403
    assert status(["localhost"], host="localhost:7860", origin="http://localhost:7860") == 200
