"""GET requests to the exchanges: paced, retried while an exchange is busy or away."""

import logging
import time
from collections.abc import Mapping
from typing import Final

import httpx

from schemas.errors import SettingsError, UnavailableError
from schemas.histories import Request, refusal

log: Final = logging.getLogger("marketflow.rest")

TIMEOUT_SECONDS: Final = 20.0
ATTEMPTS: Final = 8
_BACKOFF_SECONDS: Final = 0.5
_BACKOFF_LIMIT_SECONDS: Final = 60.0
# 418 is what Binance says to an address that went on after a 429.
_BUSY: Final = frozenset({418, 429})


class RestClient:
    """The REST interface of one exchange.

    Args:
        url: Of its root.
        pause_ms: Between two requests.
        headers: With each request; they may hold a key and are never logged.
    """

    def __init__(self, url: str, pause_ms: int, headers: Mapping[str, str] | None = None) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={"User-Agent": "marketflow", **(headers or {})},
            timeout=TIMEOUT_SECONDS,
        )
        self._pause_seconds = pause_ms / 1_000
        self._next_at = 0.0

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def get(self, request: Request) -> bytes:
        """Return the body of an answer.

        Raises:
            SettingsError: The exchange refuses: what it says.
            UnavailableError: It did not answer, however often it was asked.
        """
        why = ""
        for attempt in range(ATTEMPTS):
            time.sleep(max(0.0, self._next_at - time.monotonic()))
            wait_seconds = min(_BACKOFF_SECONDS * 2**attempt, _BACKOFF_LIMIT_SECONDS)
            try:
                answer = self._client.get(request.path, params=request.parameters)
            except httpx.TransportError as error:
                why = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    self._next_at = time.monotonic() + self._pause_seconds
                    return _accepted(answer)
                why = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code not in _BUSY and not answer.is_server_error:
                    raise SettingsError(f"GET {answer.url}: {why}")
                wait_seconds = _retry_after(answer) or wait_seconds
            log.warning("GET %s: %s; again in %.1f s", request.path, why, wait_seconds)
            self._next_at = time.monotonic() + wait_seconds
        raise UnavailableError(f"GET {request.path}: no answer in {ATTEMPTS} attempts: {why}")


def _accepted(answer: httpx.Response) -> bytes:
    said = refusal(answer.content)
    if said is not None:
        raise SettingsError(f"GET {answer.url}: the exchange refuses: {said}")
    return answer.content


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _BACKOFF_LIMIT_SECONDS) if text.isascii() and text.isdigit() else None
