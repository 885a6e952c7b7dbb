"""Where a token may be left for what runs without its user."""

import pytest

from jupyter_dodas.hub.spawner import DodasSpawner


@pytest.mark.parametrize(
    ("where", "alone"),
    [
        ({"backend": "local"}, True),
        ({"backend": "kubernetes"}, True),
        ({"backend": "kubernetes", "namespace": "cms-{username}"}, True),
        ({"backend": "kubernetes", "namespace": "cms"}, False),
    ],
)
def test_no_token_lies_where_several_users_are(where: dict[str, str], alone: bool) -> None:
    assert DodasSpawner(account="", **where).is_alone is alone
