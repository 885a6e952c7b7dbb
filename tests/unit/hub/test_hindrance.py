"""Why a controller is not there, by what its pods say."""

from typing import Any

import pytest

from jupyter_dodas.hub.grounds.namespaces import hindrance


def pod(phase: str, waiting: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {
        "metadata": {"name": "controller-x"},
        "status": {"phase": phase, "containerStatuses": [{"image": "c:1", "state": state}]},
    }


@pytest.mark.parametrize(
    ("pods", "why"),
    [
        ([], "It has no pod."),
        ([{"metadata": {"name": "controller-x"}, "status": {"phase": "Pending"}}], None),
        ([pod("Pending", "ContainerCreating")], None),
        ([pod("Pending", "ErrImagePull")], "The controller waits for its image c:1, which cannot be fetched. ErrImagePull"),
        ([pod("Running", "CrashLoopBackOff")], ""),
        ([pod("Running")], ""),
    ],
)
def test_an_image_that_is_fetched_is_waited_for_and_nothing_else(pods: list[Any], why: str | None) -> None:
    assert hindrance(pods) == why
