"""The limit: a bare Sanic handler that forwards each POST with aiohttp and stores nothing."""

from __future__ import annotations

import sys

import aiohttp
from sanic import Sanic
from sanic.request import Request
from sanic.response import HTTPResponse, raw


def make_app(sink: str) -> Sanic:
    app = Sanic("benchmark_limit", configure_logging=False)

    @app.before_server_start
    async def start(app: Sanic, loop: object) -> None:
        app.ctx.session = aiohttp.ClientSession()

    @app.after_server_stop
    async def stop(app: Sanic, loop: object) -> None:
        await app.ctx.session.close()

    @app.get("/")
    async def alive(request: Request) -> HTTPResponse:
        return raw(b"")

    @app.post("/")
    async def forward(request: Request) -> HTTPResponse:
        async with app.ctx.session.post(
            sink + "/messages", data=request.body, headers={"Content-Type": "application/json"}
        ) as answer:
            answer.raise_for_status()
            await answer.read()
        return raw(b"[]", content_type="application/json")

    return app


if __name__ == "__main__":
    port, sink = sys.argv[1:]
    # As Rasa runs Sanic, but for the access log, which Rasa switches off elsewhere.
    make_app(sink).run("127.0.0.1", int(port), access_log=False, motd=False)
