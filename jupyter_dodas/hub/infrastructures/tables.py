"""The tables of the service, the same in SQLite and PostgreSQL."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, LargeBinary, MetaData, String, Table, Text, text

__all__ = ["CLOUDS", "DURATIONS", "FACTS", "INFRASTRUCTURES", "METADATA", "TEXTS"]

METADATA: Final = MetaData()

FACTS: Final = Table("dodas_facts", METADATA, Column("name", String(60), primary_key=True), Column("value", Text, nullable=False))
"""About this store: what it calls itself at provisioners."""

INFRASTRUCTURES: Final = Table(
    "dodas_infrastructures",
    METADATA,
    Column("uid", String(32), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("name", String(60), nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("created", Float, nullable=False),
    Column("record", Text, nullable=False),
    Column("secrets", LargeBinary),
    Column("log", Text),
    Index(
        "dodas_one_of_a_name", "owner", "name", unique=True, sqlite_where=text("NOT retired"), postgresql_where=text("NOT retired")
    ),
)
"""Each infrastructure: its record as JSON; its secrets, encrypted; what was said while it was made, once it has failed."""

TEXTS: Final = Table(
    "dodas_templates", METADATA, Column("digest", String(128), primary_key=True), Column("text", Text, nullable=False)
)
"""Texts of templates that infrastructures were made of."""

CLOUDS: Final = Table(
    "dodas_clouds",
    METADATA,
    Column("owner", String(255), primary_key=True),
    Column("name", String(60), primary_key=True),
    Column("kind", String(60), nullable=False),
    Column("public", Text, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
)
"""Credentials of ``user:NAME`` or ``group:NAME``: what may be seen as JSON, the rest encrypted."""

DURATIONS: Final = Table(
    "dodas_durations",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("what", String(255), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("seconds", Float, nullable=False),
)
"""What steps took, for those who wait for the next one."""
