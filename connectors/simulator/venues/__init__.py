"""One module an exchange: how each speaks."""

from typing import Final

from connectors.simulator.venues.base import Venue
from connectors.simulator.venues.binance import Binance
from connectors.simulator.venues.bithumb import Bithumb
from connectors.simulator.venues.bitmex import Bitmex
from connectors.simulator.venues.bybit import Bybit
from connectors.simulator.venues.coinone import Coinone
from connectors.simulator.venues.gateio import Gateio
from connectors.simulator.venues.korbit import Korbit
from connectors.simulator.venues.kraken import Kraken
from connectors.simulator.venues.okx import Okx
from connectors.simulator.venues.upbit import Upbit

VENUES: Final[tuple[type[Venue], ...]] = (
    Upbit,
    Bithumb,
    Korbit,
    Coinone,
    Okx,
    Bybit,
    Gateio,
    Binance,
    Kraken,
    Bitmex,
)
