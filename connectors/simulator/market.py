"""The market model: what each market's orders do to its book, at one moving price for all.

Every number is drawn from one seed, and nothing reads a clock: the same seed, start and settings
give the same trades and books, however the time is cut into steps.

Where the numbers come from: trades excite further trades (Hawkes process, branching 0.8, kernels
of 20/s and 0.5/s), one order eats 2.5 resting ones on average, sizes have a power tail and are
often round, returns are Student-t with clustered volatility, the side of orders repeats with
probability 0.7, and a book's sizes are log-normal with a wall in one of 60 levels.
"""

import math
from collections.abc import Iterable
from random import Random
from typing import Final, TypeAlias

from connectors.simulator.book import Side
from connectors.simulator.instruments import KRW_PER_USDT, Instrument, coins

Fill: TypeAlias = tuple[int, int, bool, int, int]
"""Trade id, time in milliseconds, whether the taker buys, price in ticks, size in lots."""

PRICE_STEP_MS: Final = 50
BOOK_STEP_MS: Final = 100
BOOK_DEPTH: Final = 120

_BRANCHING: Final = 0.8
_FAST_PER_S: Final = 20.0
_SLOW_PER_S: Final = 0.5
_SLOW_SHARE: Final = 0.15
_MEAN_FILLS: Final = 2.5
_MAX_FILLS: Final = 40
_SAME_SIDE: Final = 0.7
_MIN_LEVELS: Final = 8
_TRADE_TAIL: Final = 1.4
_MIN_TRADE_DOLLARS: Final = 12.0
_MAX_TRADE_FACTOR: Final = 2_000.0
_LEVEL_DOLLARS: Final = 4_000.0
_ROUND_SHARE: Final = 0.15
_DAY_DOLLARS: Final = 2e8
# Draws are made ahead and taken in turn; a prime number, so that several walks do not fall in step.
_POOL: Final = 1_021
_MARKET_POOL: Final = 8_191
# The first price of every market is that of its coin; this much of it moves in a second.
_SIGMA: Final = 0.00003
_VOLATILITY_HALF_LIFE_S: Final = 1_800.0
_VOLATILITY_SD: Final = 0.5
_PREMIUM_MEAN: Final = 0.012
_PREMIUM_SD: Final = 0.015
_PREMIUM_HALF_LIFE_S: Final = 2 * 86_400.0
_ERROR_HALF_LIFE_S: Final = 2.0
_ERROR: Final = 0.0001
_MINOR_ERROR: Final = 0.0005
_MINOR: Final = ("korbit", "coinone", "bithumb")
_KOREAN: Final = ("upbit", *_MINOR)
_MAX_DELAY_STEPS: Final = 4


class Market:
    """One market: its book, its last trades, and how orders come to it.

    Args:
        instrument: What is traded.
        random: Where every draw comes from.
        dollars: What one coin is worth at the start.
        share: Its part of all trades.
    """

    def __init__(
        self, instrument: Instrument, random: Random, dollars: float, share: float
    ) -> None:
        self.instrument = instrument
        self.bids = Side(1)
        self.asks = Side(-1)
        self.version = 0
        """Grows with each change of the book."""
        self.next_id = random.randrange(10**8, 10**9)
        self.fresh: list[Fill] = []
        """What was traded since it was last taken."""
        self.day_lots = int(_DAY_DOLLARS * self._lots_per_dollar(dollars) * share) + 1_000
        """What it traded in the day before."""
        self.shift_ms = 0
        """How far this exchange's clock is ahead of the true one."""
        self.is_listed = True
        self.delay_steps = random.randrange(_MAX_DELAY_STEPS)
        self.error = 0.0
        self.next_error_ms = 0
        self._random = random
        self._buys = True
        lots_per_dollar = self._lots_per_dollar(dollars)
        self._trade_lots = _trade_pool(random, _MIN_TRADE_DOLLARS * lots_per_dollar)
        self._level_lots = _level_pool(random, _LEVEL_DOLLARS * lots_per_dollar)
        self._trade_at = random.randrange(_POOL)
        self._level_at = random.randrange(_POOL)

    def _lots_per_dollar(self, dollars: float) -> float:
        instrument = self.instrument
        lot = instrument.lot * 10.0**-instrument.size_decimals
        if instrument.product == "inverse":
            return 1.0 / (lot * float(instrument.contract or 1))
        return 1.0 / (lot * float(instrument.contract or 1) * dollars)

    def take_fresh(self) -> list[Fill]:
        """Return what was traded since the last call."""
        fills, self.fresh = self.fresh, []
        return fills

    def execute(self, time_ms: int) -> None:
        """Let one order come and eat what it finds."""
        random = self._random.random
        if random() >= _SAME_SIDE:
            self._buys = not self._buys
        buys = self._buys
        side = self.asks if buys else self.bids
        keys, sizes = side.keys, side.sizes
        count = min(_MAX_FILLS, 1 + int(math.log(1.0 - random()) / _LOG_STAY))
        trade_lots, at = self._trade_lots, self._trade_at
        trade_id, fresh = self.next_id, self.fresh
        time_ms += self.shift_ms
        for _ in range(count):
            key = keys[-1]
            have = sizes[key]
            at = at + 1 if at + 1 < _POOL else 0
            lots = trade_lots[at]
            if lots >= have:
                lots = have
                keys.pop()
                del sizes[key]
                if len(keys) < _MIN_LEVELS:
                    self._deepen(side, _MIN_LEVELS)
            else:
                sizes[key] = have - lots
            fresh.append((trade_id, time_ms, buys, key if key > 0 else -key, lots))
            trade_id += 1
        self.next_id = trade_id
        self.version += count
        self._trade_at = at

    def refresh(self, ticks: float) -> None:
        """Let the resting orders follow a price, and some of them change."""
        random = self._random.random
        best_bid = max(_MIN_LEVELS * 4, int(ticks))
        # One tick of spread mostly, now and then more.
        spread = 1 + int(math.log(1.0 - random()) / _LOG_SPREAD)
        self._settle(self.bids, best_bid)
        self._settle(self.asks, -(best_bid + spread))
        for side in (self.bids, self.asks):
            self._stir(side, 1 + int(math.log(1.0 - random()) / _LOG_CHANGES))
            self._deepen(side, BOOK_DEPTH)
            side.cut_to(BOOK_DEPTH + 8)
        self.version += 1

    def _settle(self, side: Side, best: int) -> None:
        """Move the best level to a price: what is beyond it is gone, what is missing comes."""
        side.cut_above(best)
        if not side.keys or side.keys[-1] < best:
            side.set(best, self._next_level() * 5)

    def _stir(self, side: Side, changes: int) -> None:
        """Change, remove and add levels, mostly near the best."""
        random, keys = self._random.random, side.keys
        for _ in range(changes):
            rank = 1 + int(math.log(1.0 - random()) / _LOG_RANK)
            if rank >= len(keys):
                continue
            key, chance = keys[-1 - rank], random()
            if chance < 0.6:  # noqa: PLR2004  # the greater part changes its size
                side.sizes[key] = self._next_level()
            elif chance < 0.8:  # noqa: PLR2004  # as many go
                side.remove(key)
            elif key + 1 not in side.sizes and key + 1 < keys[-1]:  # as come
                side.set(key + 1, self._next_level())

    def _deepen(self, side: Side, depth: int) -> None:
        """Add levels behind the worst, until there are so many or the price would be zero."""
        keys, random = side.keys, self._random.random
        while len(keys) < depth:
            key = keys[0] - 1 - int(math.log(1.0 - random()) / _LOG_GAP)
            if key <= 0 < side.sign:
                return
            hump = 1.0 + min(len(keys), 20) / 20
            keys.insert(0, key)
            side.sizes[key] = max(1, int(self._next_level() * hump))

    def _next_level(self) -> int:
        self._level_at = at = self._level_at + 1 if self._level_at + 1 < _POOL else 0
        return self._level_lots[at]


def _stay(mean: float) -> float:
    """Return the logarithm with which a uniform draw becomes a geometric one of this mean."""
    return math.log(mean / (1.0 + mean))


_LOG_STAY: Final = _stay(_MEAN_FILLS - 1.0)
_LOG_SPREAD: Final = _stay(0.15)
_LOG_CHANGES: Final = _stay(2.0)
_LOG_RANK: Final = _stay(12.0)
_LOG_GAP: Final = _stay(0.6)


def _trade_pool(random: Random, least: float) -> list[int]:
    pool = []
    for _ in range(_POOL):
        lots = max(1.0, least * min(random.paretovariate(_TRADE_TAIL), _MAX_TRADE_FACTOR))
        pool.append(_rounded(lots) if random.random() < _ROUND_SHARE else int(lots))
    return pool


def _level_pool(random: Random, median: float) -> list[int]:
    pool = []
    for _ in range(_POOL):
        wall = 50.0 if random.random() < 1 / 60 else 1.0
        lots = median * random.lognormvariate(0.0, 1.3) * wall
        pool.append(max(1, _rounded(lots) if random.random() < _ROUND_SHARE else int(lots)))
    return pool


def _rounded(lots: float) -> int:
    """Return the size with one significant digit, as people type it."""
    unit: int = 10 ** max(0, math.floor(math.log10(max(lots, 1.0))))
    return max(1, round(lots / unit)) * unit


class Prices:
    """One efficient price a coin, that of Bitcoin leading, and the exchange rate of the won.

    Args:
        random: Where every draw comes from.
        dollars: The prices at the start.
    """

    def __init__(self, random: Random, dollars: dict[str, float]) -> None:
        self._random = random
        self._logs = {coin: math.log(price) for coin, price in dollars.items()}
        self._betas = {coin: random.uniform(1.0, 1.4) for coin in dollars}
        self._volatility = 0.0
        self._leader = [0.0] * (_MAX_DELAY_STEPS + 2)
        self.history: list[dict[str, float]] = []
        """The last prices in dollars, newest last, of as many steps as an exchange may lag."""
        self.premium = _PREMIUM_MEAN
        self.krw_per_usdt = KRW_PER_USDT
        for _ in range(_MAX_DELAY_STEPS + 1):
            self._remember()

    def step(self) -> None:
        """Move every price by one step of time."""
        random = self._random
        seconds = PRICE_STEP_MS / 1_000
        self._volatility = _revert(
            random, self._volatility, 0.0, _VOLATILITY_SD, _VOLATILITY_HALF_LIFE_S, seconds
        )
        sigma = _SIGMA * math.exp(self._volatility) * math.sqrt(seconds)
        leader = sigma * _student(random)
        self._leader.append(leader)
        lagging = self._leader.pop(0)
        for coin, log in self._logs.items():
            if coin == "BTC":
                self._logs[coin] = log + leader
            else:
                own = 0.7 * sigma * random.gauss(0.0, 1.0)
                self._logs[coin] = log + self._betas[coin] * lagging + own
        self.premium = _revert(
            random, self.premium, _PREMIUM_MEAN, _PREMIUM_SD, _PREMIUM_HALF_LIFE_S, seconds
        )
        log_krw = _revert(
            random, math.log(self.krw_per_usdt / KRW_PER_USDT), 0, 0.01, 86_400.0, 0.05
        )
        self.krw_per_usdt = KRW_PER_USDT * math.exp(log_krw)
        self._remember()

    def _remember(self) -> None:
        self.history.append({coin: math.exp(log) for coin, log in self._logs.items()})
        del self.history[: -_MAX_DELAY_STEPS - 1]

    def of(self, market: Market, time_ms: int) -> float:
        """Return the price of a market in ticks: the efficient one, late and a little wrong."""
        instrument = market.instrument
        if market.next_error_ms <= time_ms:
            size = _MINOR_ERROR if instrument.exchange in _MINOR else _ERROR
            market.error = _revert(self._random, market.error, 0.0, size, _ERROR_HALF_LIFE_S, 0.1)
            market.next_error_ms = time_ms + BOOK_STEP_MS
        dollars = self.history[-1 - market.delay_steps].get(instrument.base, 1.0)
        if instrument.quote == "KRW":
            premium = 0.0 if instrument.base == "USDT" else self.premium
            dollars *= self.krw_per_usdt * math.exp(premium)
        price = dollars * math.exp(market.error)
        return price * 10.0**instrument.price_decimals / instrument.tick


def _revert(
    random: Random, value: float, mean: float, sd: float, half_life_s: float, seconds: float
) -> float:
    """Return the next value of an Ornstein-Uhlenbeck process."""
    pull = math.exp2(-seconds / half_life_s)
    noise = sd * math.sqrt(1.0 - pull * pull) * random.gauss(0.0, 1.0)
    return mean + (value - mean) * pull + noise


def _student(random: Random) -> float:
    """Return a draw of Student's t with four degrees of freedom, of variance one."""
    chi = random.gammavariate(2.0, 2.0)
    return random.gauss(0.0, 1.0) / math.sqrt(chi / 4.0) / math.sqrt(2.0)


class World:
    """All markets of all exchanges, and the orders that come to them.

    Args:
        listed: The markets, and the share of all trades that each has.
        seed: What every draw is made from.
        start_ms: The time at which it begins.
        trades_per_s: About how many trades all markets together have.
    """

    def __init__(
        self,
        listed: Iterable[tuple[Instrument, float]],
        seed: int,
        start_ms: int,
        trades_per_s: float,
        coin_count: int,
    ) -> None:
        self._random = Random(seed)  # noqa: S311  # chance of a market, no secret
        self._dollars = coins(coin_count)
        self.prices = Prices(self._random, self._dollars)
        self.now_ms = start_ms
        self._start_ms = start_ms
        self.markets: list[Market] = []
        self._shares: list[float] = []
        self._pending: dict[int, list[Market]] = {}
        self._grid: list[list[Market]] = [[] for _ in range(BOOK_STEP_MS)]
        self._draw: list[Market] = []
        self.traded: dict[Market, None] = {}
        """The markets that traded since it was last cleared, in order."""
        self.refreshed: dict[Market, None] = {}
        """The markets whose resting orders changed since it was last cleared, in order."""
        self._orders_per_ms = trades_per_s * (1.0 - _BRANCHING) / _MEAN_FILLS / 1_000
        self._next_order_ms = float(start_ms)
        self._children = [_poisson(self._random, _BRANCHING) for _ in range(_POOL)]
        self._child_at = 0
        for instrument, share in listed:
            self.add(instrument, share)
        self.share_out()

    def add(self, instrument: Instrument, share: float) -> Market:
        """List a market; :meth:`share_out` gives it its part of the orders."""
        market = Market(instrument, self._random, self._dollars.get(instrument.base, 1.0), share)
        self._grid[len(self.markets) * 7 % BOOK_STEP_MS].append(market)
        self.markets.append(market)
        self._shares.append(share)
        market.refresh(self.prices.of(market, self.now_ms))
        return market

    def share_out(self) -> None:
        """Draw ahead which markets the next orders come to."""
        listed = [
            (market, share)
            for market, share in zip(self.markets, self._shares, strict=True)
            if market.is_listed
        ]
        total = sum(share for _, share in listed)
        self._draw = [
            market
            for market, share in listed
            for _ in range(max(1, round(_MARKET_POOL * share / total)))
        ]

    def advance(self, until_ms: int) -> None:
        """Let the time pass, to the end of a millisecond."""
        random, pending, children = self._random.random, self._pending, self._children
        for ms in range(self.now_ms + 1, until_ms + 1):
            elapsed = ms - self._start_ms
            if elapsed % PRICE_STEP_MS == 0:
                self.prices.step()
            for market in self._grid[elapsed % BOOK_STEP_MS]:
                if market.is_listed:
                    market.refresh(self.prices.of(market, ms))
                    self.refreshed[market] = None
            while self._next_order_ms <= ms:
                market = self._draw[int(random() * len(self._draw))]
                pending.setdefault(ms, []).append(market)
                self._next_order_ms -= math.log(1.0 - random()) / self._orders_per_ms
            for market in pending.pop(ms, ()):
                if not market.is_listed:
                    continue
                market.execute(ms)
                self.traded[market] = None
                self._child_at = at = self._child_at + 1 if self._child_at + 1 < _POOL else 0
                for _ in range(children[at]):
                    per_s = _SLOW_PER_S if random() < _SLOW_SHARE else _FAST_PER_S
                    later_ms = 1 + int(-math.log(1.0 - random()) * 1_000 / per_s)
                    pending.setdefault(ms + later_ms, []).append(market)
        self.now_ms = max(self.now_ms, until_ms)


def _poisson(random: Random, mean: float) -> int:
    limit, count, product = math.exp(-mean), 0, random.random()
    while product > limit:
        count += 1
        product *= random.random()
    return count
