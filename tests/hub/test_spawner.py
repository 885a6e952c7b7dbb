"""Notebooks of a hub: started, found again, ended, and what is told of them."""

import pytest

from tests.hubs import Hub


def test_who_signs_in_gets_a_notebook_and_it_ends_without_a_trace(hub: Hub) -> None:
    browser = hub.browser()
    browser.sign_in("alice")
    assert browser.spawn("alice").is_success
    variables = browser.variables("alice")
    assert variables["USER"] == variables["JUPYTERHUB_USER"] == "alice"
