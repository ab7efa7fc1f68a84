"""The REST interface of one exchange, asked within its limits by all processes of a host."""

import logging
import random
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx

from connectors.process import clock, metrics
from connectors.process.budgets import Budgets
from schemas.errors import SettingsError, UnavailableError
from schemas.histories import Request, refusal
from schemas.subscriptions import Subscriptions
from schemas.times import NS_PER_MINUTE, NS_PER_SECOND

log: Final = logging.getLogger("marketflow.rest")
logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request otherwise

TIMEOUT_SECONDS: Final = 20.0
ATTEMPTS: Final = 4
# A longer ban is not waited for: whoever asked comes back later.
LONGEST_WAIT_SECONDS: Final = 30.0
_BACKOFF_SECONDS: Final = 1.0
_TOO_MANY: Final = 429
# Words of those who refuse with the status 200: OKX, Bybit, Kraken, Coinone.
_BUSY_WORDS: Final = ("50011", "10006", "Rate limit", "Throttled", '"error_code":"4"', "Too many")


class ExchangeRest:
    """One exchange.

    Args:
        exchange: Its id.
        url: Of its root.
        facts: Its limits.
        budgets: Where they are counted.
        headers: With each request; they may hold a key and are never logged.
    """

    def __init__(
        self,
        exchange: str,
        url: str,
        facts: Subscriptions,
        budgets: Budgets,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._exchange = exchange
        self._facts = facts
        self._budgets = budgets
        self._name = f"{exchange}@{urlsplit(url).netloc}.rest"
        self._client = httpx.Client(
            base_url=url,
            headers={"User-Agent": "marketflow", **(headers or {})},
            timeout=TIMEOUT_SECONDS,
        )

    def close(self) -> None:
        """End its connections."""
        self._client.close()

    def get(self, request: Request) -> bytes:
        """Return the body of an answer.

        Raises:
            SettingsError: The exchange refuses: what it says.
            UnavailableError: It did not answer, or has to be left alone for a while.
        """
        why = ""
        for attempt in range(ATTEMPTS):
            self._wait_for_turn()
            try:
                answer = self._client.get(request.path, params=request.parameters)
            except httpx.TransportError as error:
                why = f"{type(error).__name__}: {error}"
                metrics.REST_REQUESTS.labels(self._exchange, "none").inc()
            else:
                metrics.REST_REQUESTS.labels(self._exchange, str(answer.status_code)).inc()
                self._heed(answer)
                why = self._refused(answer)
                if not why:
                    return answer.content
            seconds = _BACKOFF_SECONDS * 2**attempt * random.random()  # noqa: S311  # jitter
            log.warning("%s: GET %s: %s", self._exchange, request.path, why)
            time.sleep(seconds)
        raise UnavailableError(f"{self._exchange}: GET {request.path}: {why}")

    def _wait_for_turn(self) -> None:
        budget = self._facts.rest
        while True:
            seconds = self._budgets.banned_seconds(self._name)
            if seconds > LONGEST_WAIT_SECONDS:
                message = f"{self._exchange}: to be left alone for {seconds:.0f} s more"
                raise UnavailableError(message)
            seconds = seconds or self._budgets.take(self._name, budget.most, budget.seconds)
            if not seconds:
                return
            time.sleep(min(seconds, LONGEST_WAIT_SECONDS))

    def _refused(self, answer: httpx.Response) -> str:
        """Return why to ask again, nothing for an answer; bans are kept to by all.

        Raises:
            SettingsError: It makes no sense to ask again.
        """
        status, facts = answer.status_code, self._facts
        if answer.is_success:
            said = refusal(answer.content)
            if said is None:
                return ""
            if not any(word in said for word in _BUSY_WORDS):
                raise SettingsError(f"GET {answer.url}: the exchange refuses: {said}")
            self._budgets.ban(self._name, facts.rest.seconds)
            return said
        why = f"{status} {answer.text[:200]}"
        if status in facts.ban_seconds or status in (418, _TOO_MANY):
            seconds = _retry_after(answer) or facts.ban_seconds.get(status, facts.rest.seconds)
            self._budgets.ban(self._name, seconds)
        elif not answer.is_server_error:
            raise SettingsError(f"GET {answer.url}: {why}")
        return why

    def _heed(self, answer: httpx.Response) -> None:
        """Pause before the limit is reached, by what the exchange says is left."""
        facts = self._facts
        left = answer.headers.get(facts.remaining_header, "") if facts.remaining_header else ""
        if left.isdigit() and int(left) <= 1:
            self._budgets.ban(self._name, facts.rest.seconds)
        used = answer.headers.get(facts.used_header, "") if facts.used_header else ""
        if used.isdigit() and int(used) >= facts.max_weight:
            rest_ns = NS_PER_MINUTE - clock.now_ns() % NS_PER_MINUTE
            self._budgets.ban(self._name, rest_ns / NS_PER_SECOND)


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None
