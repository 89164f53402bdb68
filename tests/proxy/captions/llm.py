"""A server that speaks the chat-completions protocol, well or badly, on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

CAPTION = "A red bicycle leans against a brick wall in low evening sun"


def completion(content: Any, usage: Any = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "tiny",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 20, "total_tokens": 420} if usage is None else usage,
    }


def good(caption: str = CAPTION) -> web.Response:
    return web.json_response(completion(json.dumps({"caption": caption})))


def error(status: int, **headers: str) -> web.Response:
    body = {"error": {"message": "Incorrect API key provided: sk-test-abcdefgh12345678", "code": status}}
    return web.json_response(body, status=status, headers=headers)


class FakeServer:
    """Answers each request with the next of `script`, and the last one from then on."""

    def __init__(self) -> None:
        self.script: list[Callable[[], web.StreamResponse]] = [good]
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.gate: asyncio.Event | None = None
        self.url = ""

    async def start(self) -> web.AppRunner:
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return runner

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("Authorization", ""))
        number = min(len(self.requests), len(self.script)) - 1
        if self.gate is not None:
            await self.gate.wait()
        return self.script[number]()
