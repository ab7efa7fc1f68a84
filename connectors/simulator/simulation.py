"""The simulation: the model's time goes on, what was traded is written down and told."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from connectors.simulator.desk import Desk, Stream
from connectors.simulator.faults import OF_TRADES, Fault, Tampering
from connectors.simulator.instruments import instruments, new_instrument
from connectors.simulator.market import Fill, Market, World
from connectors.simulator.tape import Candle
from connectors.simulator.truth import Truth
from connectors.simulator.venues import VENUES
from connectors.simulator.venues.base import Venue
from connectors.simulator.websocket import frame

MAX_TRADES: Final = 2_000_000
"""Kept for the REST interfaces, of all markets together: about 80 MB."""
WARM_UP_MS: Final = 2_000
"""So long the markets have been open when the first client comes."""
MAX_STEP_MS: Final = 500
"""The most that is caught up at once, so that requests are answered meanwhile."""
_GARBAGE: Final = b'{"channel":"trades","data":[{"px":"not a num'


class Simulation:
    """All exchanges at once.

    Args:
        seed: What every draw is made from.
        coin_count: Coins that each exchange lists.
        trades_per_s: About how many trades all markets together have.
        start_ms: When it begins.
        truth: Where it is written down what was traded.
    """

    def __init__(
        self, seed: int, coin_count: int, trades_per_s: float, start_ms: int, truth: Truth
    ) -> None:
        self.truth = truth
        self.world = World(
            instruments(coin_count), seed, start_ms - WARM_UP_MS, trades_per_s, coin_count
        )
        self._max_trades = max(1_000, MAX_TRADES // len(self.world.markets))
        self._desks: dict[Market, Desk] = {}
        self._of_exchange: dict[str, dict[tuple[str, str], Desk]] = {
            venue.exchange: {} for venue in VENUES
        }
        self._types = {venue.exchange: venue for venue in VENUES}
        for market in self.world.markets:
            self._show(market)
        self.venues: dict[str, Venue] = {
            venue.exchange: venue(self._of_exchange[venue.exchange]) for venue in VENUES
        }
        self._shifts_ms = dict.fromkeys(self.venues, 0)
        self._refusals: dict[tuple[str, bool], tuple[int, int]] = {}
        self._holding: list[tuple[Desk, Tampering]] = []
        self.trades = 0
        self._last_flush_ms = 0
        self.advance(start_ms)

    def _show(self, market: Market) -> Desk:
        venue = self._types[market.instrument.exchange]
        instrument = market.instrument
        desk = Desk(market, venue.styles_of(instrument.product), self._max_trades)
        self._desks[market] = desk
        self._of_exchange[instrument.exchange][instrument.product, instrument.native] = desk
        return desk

    @property
    def desks(self) -> Iterable[Desk]:
        """Every market."""
        return self._desks.values()

    @property
    def now_ms(self) -> int:
        """The model's time."""
        return self.world.now_ms

    def advance(self, until_ms: int) -> None:
        """Let the time pass, and tell everybody who listens what happened."""
        while self.world.now_ms < until_ms:
            step_ms = min(until_ms, self.world.now_ms + MAX_STEP_MS)
            self.step(step_ms)

    def step(self, until_ms: int) -> None:
        """Let at most `MAX_STEP_MS` pass."""
        self.world.advance(until_ms)
        for name, venue in self.venues.items():
            venue.now_ms = until_ms + self._shifts_ms[name]
        traded, self.world.traded = self.world.traded, {}
        for market in traded:
            self._tell_trades(self._desks[market], market.take_fresh())
        if self._holding:
            self._release(until_ms)
        refreshed, self.world.refreshed = self.world.refreshed, {}
        for market in refreshed:
            desk = self._desks[market]
            if desk.streams:
                self._tell_rest(desk, self.venues[desk.instrument.exchange])
        if until_ms - self._last_flush_ms >= 1_000:  # noqa: PLR2004  # a second
            self._last_flush_ms = until_ms
            self.truth.flush()

    def _tell_trades(self, desk: Desk, fills: Sequence[Fill]) -> None:
        self.trades += len(fills)
        desk.tape.add(fills)
        venue = self.venues[desk.instrument.exchange]
        if self.truth.is_written:
            ids = [venue.trade_id(desk, fill) for fill in fills]
            self.truth.add(desk.instrument, fills, ids)
        for tamper in list(desk.tampers):
            fills = tamper(fills)
        self._send_trades(desk, fills)

    def _release(self, now_ms: int) -> None:
        """Tell of trades that no later one has overtaken in time."""
        for desk, tampering in self._holding:
            self._send_trades(desk, tampering.release(now_ms))
        self._holding = [(desk, t) for desk, t in self._holding if not t.is_over]

    def _send_trades(self, desk: Desk, fills: Sequence[Fill]) -> None:
        if not fills:
            return
        venue = self.venues[desk.instrument.exchange]
        for stream in desk.of_kind["trade"]:
            if stream.muted_until_ms <= venue.now_ms:
                for payload in venue.trade_frames(stream, fills):
                    stream.send(frame(payload, venue.opcode))

    def _tell_rest(self, desk: Desk, venue: Venue) -> None:
        now_ms = venue.now_ms
        for stream in desk.of_kind["orderbook"]:
            if stream.muted_until_ms <= now_ms and self._is_due(stream, now_ms, venue.book_ms):
                self._send(venue, stream, venue.book_frames(stream))
        for stream in desk.of_kind["ticker"]:
            count = desk.tape.day.count
            is_wanted = venue.is_periodic or stream.seen != count
            is_heard = stream.muted_until_ms <= now_ms
            if is_heard and is_wanted and self._is_due(stream, now_ms, venue.ticker_ms):
                stream.seen = count
                self._send(venue, stream, venue.ticker_frames(stream))
        for stream in desk.of_kind["kline"]:
            if stream.muted_until_ms <= now_ms and self._is_due(stream, now_ms, venue.kline_ms):
                self._send(venue, stream, self._klines(venue, stream, now_ms))

    @staticmethod
    def _is_due(stream: Stream, now_ms: int, every_ms: int) -> bool:
        if now_ms < stream.due_ms:
            return False
        # On a fixed grid: a late frame does not move the next one. Markets have steps of 100 ms.
        stream.due_ms = now_ms - now_ms % 100 + every_ms
        return True

    @staticmethod
    def _send(venue: Venue, stream: Stream, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            stream.send(frame(payload, venue.opcode))

    @staticmethod
    def _klines(venue: Venue, stream: Stream, now_ms: int) -> Iterator[bytes]:
        """Return the end of the minute that is over, if it is, and the running one."""
        desk = stream.desk
        start_ms = now_ms - now_ms % 60_000
        before_ms: int | None = stream.state
        stream.state = start_ms
        if before_ms is not None and before_ms < start_ms:
            candle = desk.tape.minutes.get(before_ms) or Candle(desk.tape.day.close)
            yield from venue.kline_end(stream, before_ms, candle)
        yield from venue.kline_frames(stream)

    # -- faults --------------------------------------------------------------------------------

    def refusal(self, exchange: str, *, is_upgrade: bool) -> tuple[int, int] | None:
        """Return the status with which an exchange refuses now, and for how many seconds still."""
        status, until_ms = self._refusals.get((exchange, is_upgrade), (0, 0))
        left_ms = until_ms - self.now_ms
        return (status, -(-left_ms // 1_000)) if left_ms > 0 else None

    def touched(self, fault: Fault) -> list[Desk]:
        """Return the markets that a fault is about."""
        return [
            desk
            for desk in self._desks.values()
            if fault.exchange in (None, desk.instrument.exchange)
            and fault.product in (None, desk.instrument.product)
            and fault.symbol in (None, desk.instrument.symbol)
        ]

    def apply(self, fault: Fault) -> int:
        """Do what a fault of markets or exchanges says; return how many it touched."""
        if fault.fault == "refuse":
            return self._refuse(fault)
        if fault.fault == "clock":
            return self._shift(fault)
        if fault.fault == "list":
            return self._list(fault)
        desks = self.touched(fault)
        for desk in desks:
            self._disturb(desk, fault)
        if fault.fault == "delist":
            self.world.share_out()
        return len(desks)

    def _disturb(self, desk: Desk, fault: Fault) -> None:
        venue = self.venues[desk.instrument.exchange]
        if fault.fault in OF_TRADES:
            tampering = Tampering(fault, desk, self.event)
            desk.tampers.append(tampering)
            if fault.fault == "reorder":
                self._holding.append((desk, tampering))
        elif fault.fault == "stall":
            for stream in self._streams(desk, fault):
                stream.muted_until_ms = venue.now_ms + fault.ms
        elif fault.fault == "garbage":
            self._send_garbage(desk, fault, venue)
        elif fault.fault == "skip":
            self._skip(desk, fault.count)
        elif fault.fault == "restart_ids":
            desk.market.next_id = 1_000
            desk.tape.restart()
        elif fault.fault == "delist":
            desk.market.is_listed = False

    def _send_garbage(self, desk: Desk, fault: Fault, venue: Venue) -> None:
        for stream in self._streams(desk, fault):
            for _ in range(fault.count):
                stream.send(frame(_GARBAGE, venue.opcode))

    @staticmethod
    def _skip(desk: Desk, count: int) -> None:
        """Lose an update of the book: what it changed is never told."""
        desk.skip_updates(count)
        for stream in desk.of_kind["orderbook"]:
            if stream.view is not None:
                stream.view.move_to(desk.market.bids, desk.market.asks)
                stream.view.last_id += count

    @staticmethod
    def _streams(desk: Desk, fault: Fault) -> list[Stream]:
        return [stream for stream in desk.streams.values() if fault.kind in (None, stream.kind)]

    def _refuse(self, fault: Fault) -> int:
        names = [name for name in self.venues if fault.exchange in (None, name)]
        for name in names:
            key = name, fault.kind == "websocket"
            self._refusals[key] = fault.status, self.now_ms + fault.ms
        return len(names)

    def _shift(self, fault: Fault) -> int:
        names = [name for name in self.venues if fault.exchange in (None, name)]
        for name in names:
            self._shifts_ms[name] = fault.ms
        for market in self.world.markets:
            if market.instrument.exchange in names:
                market.shift_ms = fault.ms
        return len(names)

    def _list(self, fault: Fault) -> int:
        """List a market that is new, or again one that had gone."""
        again = [desk for desk in self.touched(fault) if fault.symbol is not None]
        for desk in again:
            desk.market.is_listed = True
        if not again and fault.exchange and fault.symbol:
            coin, product = fault.symbol.partition("-")[0], fault.product or "spot"
            market = self.world.add(new_instrument(fault.exchange, product, coin), 1.0)
            again = [self._show(market)]
        self.world.share_out()
        return len(again)

    def event(self, event: dict[str, Any]) -> None:
        """Write down a fault, or what one did."""
        self.truth.event({"time_ms": self.now_ms, **event})

    def status(self) -> dict[str, Any]:
        """Return what there is to know at a glance."""
        streams = itertools.chain.from_iterable(desk.streams.values() for desk in self.desks)
        return {
            "time_ms": self.now_ms,
            "markets": sum(desk.market.is_listed for desk in self.desks),
            "streams": sum(1 for _ in streams),
            "trades": self.trades,
        }
