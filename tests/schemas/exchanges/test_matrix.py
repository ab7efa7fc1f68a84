"""The document says what the facts say."""

from pathlib import Path

from schemas.exchanges import EXCHANGES
from schemas.exchanges.matrix import matrix

README = Path(__file__).parents[3] / "schemas" / "README.md"


def test_the_matrix_in_the_document_is_the_printed_one() -> None:
    assert matrix() in README.read_text(), "run python -m schemas.exchanges.matrix"


def test_the_matrix_has_every_exchange_and_channel() -> None:
    text = matrix()
    for exchange in EXCHANGES.values():
        assert f"(`{exchange.code}`)" in text
        assert all(f"`{channel.name}`" in text for channel in exchange.channels)
