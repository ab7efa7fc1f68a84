"""Markets of several products and contract sizes: shared by the exchanges that list contracts."""

from decimal import Decimal
from typing import Final, NamedTuple

from schemas.errors import DecodeError
from schemas.feeds import Feed
from schemas.numbers import exact_product, quotient
from schemas.records import Product
from schemas.symbols import perpetual, spot

IDLE: Final = frozenset({b"null", b"{}", b'{"processed":"skip"}', b'{"processed": "skip"}'})
"""The stubs that regional collectors leave in place of a control frame."""


class Market(NamedTuple):
    """The market that a native symbol names."""

    symbol: str
    product: Product


def collected_symbol(feed: Feed) -> str:
    """Return the symbol of a flattened ticker, whose envelope names the coin.

    Raises:
        DecodeError: There is no envelope.
    """
    if feed.coin is None:
        raise DecodeError("expected a symbol in the message, or a coin in the envelope around it")
    return (spot if feed.product == "spot" else perpetual)(feed.coin, feed.quote)


def contract_size(feed: Feed, native_symbol: str, separator: str) -> Decimal:
    """Return the units of a contract, by its symbol or the longest prefix up to a separator.

    Raises:
        DecodeError: The size is not known.
    """
    prefix = native_symbol
    while prefix:
        size = feed.contract_sizes.get(prefix)
        if size is not None:
            return size
        prefix = prefix.rpartition(separator)[0]
    raise DecodeError(
        f"{native_symbol[:40]} trades in contracts, expected the size of one in pipeline.yaml: "
        f"exchanges.{feed.exchange}.contract_sizes.{native_symbol[:40]}"
    )


def contract_amounts(
    price: Decimal, contracts: Decimal, unit: Decimal, product: Product
) -> tuple[Decimal, Decimal]:
    """Return the base size and the quote notional of contracts.

    A linear contract is worth `unit` of the base currency, an inverse one `unit` of the quote.

    Raises:
        DecodeError: A number is not one that a market could have.
    """
    exact_product(price, contracts)  # so that a bad number is refused by its own name
    amount = exact_product(contracts, unit)
    if product == "inverse":
        return quotient(amount, price), amount
    return amount, exact_product(price, amount)
