"""Asks an OpenAI-compatible server, once, within limits.

In: messages, a deadline. Out: the chat completion's JSON. Refuses (`ServerFailure`, which says whether a second try
makes sense): error statuses, redirects, answers over MAX_ANSWER_BYTES or that are no JSON, silence.

The `openai` package is imported at the first question. Its own retries are off, since ours share one deadline and wait
as the server says; redirects are off, so that the key goes nowhere else. At DEBUG it logs whole requests, pictures and
page words in them: those records are dropped. What a server says about an error is not passed on: some repeat the key.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import re
from typing import Any

from proxy.captions.outcome import Refusal

MAX_ANSWER_BYTES = 256 * 1024
_RETRIED = frozenset((408, 409, 429, 500, 502, 503, 504, 529))
_SECONDS = re.compile(r"\d{1,6}(?:\.\d{1,6})?")


class ServerFailure(Exception):
    """No completion came. `retry` tells whether to ask again, `wait_s` what the server asked to wait, if it did."""

    def __init__(self, refusal: Refusal, detail: str, *, retry: bool = False, wait_s: float | None = None) -> None:
        super().__init__(detail)
        self.refusal = refusal
        self.detail = detail
        self.retry = retry
        self.wait_s = wait_s


class Server:
    """The captioning server at `base_url`; `key` never leaves this object but in the request's Authorization."""

    def __init__(self, base_url: str, model: str, key: str, max_output_tokens: int) -> None:
        self._base_url = base_url
        self._model = model
        self._key = key
        self._max_output_tokens = max_output_tokens
        self._openai: Any = None
        self._client: Any = None

    def __repr__(self) -> str:
        return f"Server(model={self._model!r})"

    async def load(self) -> None:
        """Import the package and make the client, in a thread: it takes a second or more. Raises ServerFailure."""
        if self._client is None:
            await asyncio.to_thread(self._load)

    async def ask(self, messages: list[dict[str, Any]], timeout_s: float) -> Any:
        """The completion's JSON. Raises ServerFailure."""
        await self.load()
        openai = self._openai
        try:
            create = self._client.chat.completions.with_streaming_response.create
            async with create(
                model=self._model,
                messages=messages,
                max_tokens=self._max_output_tokens,
                temperature=0.0,
                timeout=timeout_s,
                extra_headers={"Accept-Encoding": "identity"},
            ) as response:
                body = bytearray()
                async for chunk in response.iter_bytes(16 * 1024):
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise ServerFailure(Refusal.MALFORMED, f"an answer of over {MAX_ANSWER_BYTES} bytes")
        except openai.APITimeoutError:
            raise ServerFailure(Refusal.TIMEOUT, f"no answer within {timeout_s:.1f} s", retry=True) from None
        except openai.APIStatusError as error:
            status = int(error.status_code)
            wait_s = _seconds(error.response.headers.get("retry-after"))
            detail = f"the server answers {status}"
            raise ServerFailure(Refusal.SERVER, detail, retry=status in _RETRIED, wait_s=wait_s) from None
        except openai.OpenAIError as error:
            raise ServerFailure(Refusal.SERVER, f"no connection ({type(error).__name__})", retry=True) from None
        except (OSError, RuntimeError, ValueError) as error:
            raise ServerFailure(Refusal.SERVER, f"no answer ({type(error).__name__})") from None
        except ServerFailure:
            raise
        except Exception as error:  # the HTTP library's own, while the answer is read: cut off, not HTTP
            raise ServerFailure(Refusal.SERVER, f"the answer broke off ({type(error).__name__})", retry=True) from None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise ServerFailure(Refusal.MALFORMED, "the answer is no JSON") from None

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _load(self) -> None:
        self._openai = _openai()
        transport = self._openai.DefaultAsyncHttpxClient(follow_redirects=False)
        self._client = self._openai.AsyncOpenAI(
            api_key=self._key, base_url=self._base_url, max_retries=0, http_client=transport
        )
        _ = self._client.chat.completions.with_streaming_response  # imported at first use: another second


def _openai() -> Any:
    try:
        module = importlib.import_module("openai")
    except ImportError as error:
        raise ServerFailure(Refusal.SERVER, "the package `openai` is not installed") from error
    logger = logging.getLogger("openai._base_client")
    if _tells_no_request not in logger.filters:
        logger.addFilter(_tells_no_request)
    return module


def _tells_no_request(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Request options")


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds; a date, which servers of models don't send, is not read."""
    return float(value) if value and _SECONDS.fullmatch(value.strip()) else None
