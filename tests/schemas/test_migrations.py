"""The migrations of a release are a gapless row of steps that nothing changes afterwards."""

from hashlib import sha256

from schemas.migrations import make_migration, migrations


def test_versions_count_from_one_without_a_gap() -> None:
    versions = [migration.version for migration in migrations()]

    assert versions == list(range(1, len(versions) + 1))


def test_a_migration_is_named_by_its_file() -> None:
    migration = make_migration("0012_order_books.sql", "SELECT 1;")

    assert (migration.version, migration.name) == (12, "order_books")


def test_the_checksum_covers_the_whole_text() -> None:
    text = "SELECT 'é';\n"

    assert make_migration("0001_a.sql", text).sha256 == sha256(text.encode()).hexdigest()
    assert make_migration("0001_a.sql", text + " ").sha256 != sha256(text.encode()).hexdigest()
