"""Whose a name is: the first subject that came with it, for ever, however often names change at the provider.

A table of its own in the hub's database: it outlives users that are deleted, so that nobody inherits their files by their name.
"""

from typing import Final

from sqlalchemy import Column, MetaData, String, Table, UniqueConstraint, bindparam, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jupyter_dodas.errors import SignInRefused

__all__ = ["Identities"]

_TABLE: Final = Table(
    "dodas_identities",
    MetaData(),
    Column("issuer", String(255), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("name", String(255), nullable=False),
    UniqueConstraint("name"),
)

# Each sign-in asks twice; to put the question together takes longer than to answer it.
_NAME: Final = select(_TABLE.c.name).where(_TABLE.c.issuer == bindparam("issuer"), _TABLE.c.subject == bindparam("subject"))


class Identities:
    """Names and their owners.

    Parameters
    ----------
    db
        The hub's own session.
    issuer
        Who says what the subjects are.
    """

    def __init__(self, db: Session, issuer: str) -> None:
        self._db = db
        self._issuer = issuer.rstrip("/")
        _TABLE.create(db.get_bind(), checkfirst=True)

    def name_of(self, subject: str) -> str | None:
        """Return the name that somebody has here, if they were here before."""
        return self._db.execute(_NAME, {"issuer": self._issuer, "subject": subject}).scalar_one_or_none()

    def bind(self, subject: str, name: str) -> None:
        """Give a name to somebody, who may have it already.

        Raises
        ------
        SignInRefused
            If it is somebody else's.
        """
        if self.name_of(subject) == name:
            return
        try:
            self._db.execute(insert(_TABLE).values(issuer=self._issuer, subject=subject, name=name))
            self._db.commit()
        except IntegrityError:
            self._db.rollback()
            if self.name_of(subject) != name:  # it was not this very sign-in, in two windows
                raise SignInRefused(
                    f"The user name {name!r} belongs to somebody else here",
                    cause="Somebody with another identity signed in with it first.",
                    remedy="If the name is to change hands, an administrator can remove its line from the table dodas_identities.",
                ) from None
