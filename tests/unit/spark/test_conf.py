"""Settings that are given for one session: those that cannot be are told with a remedy."""

import pytest

from jupyter_dodas.errors import InvalidOption
from jupyter_dodas.services.spark import conf
from jupyter_dodas.services.spark.options import SparkOptions


@pytest.mark.parametrize(
    ("name", "value", "cause", "remedy"),
    [
        ("spark.executor.memory", "4g", "Executors of 4g do not fit into workers of 1024m.", "with more memory."),
        ("spark.executor.cores", "2", "Executors of 2 cores do not fit into workers of 1.", "with more cores."),
        ("spark.executor.memory", "lots", "is no size", "correct it."),
        ("spark.master", "local", "spark.master is set by the cluster", "Leave the setting out"),
    ],
)
def test_a_setting_that_cannot_be_is_told_with_a_remedy(name: str, value: str, cause: str, remedy: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        conf.check_given({name: value}, SparkOptions().all_groups())
    assert cause in refused.value.cause
    assert remedy in refused.value.remedy


def test_what_leaves_the_machine_is_encrypted() -> None:
    assert conf.encryption("127.0.0.1") == {}
    assert conf.encryption("higgs-worker-1")["spark.network.crypto.enabled"] == "true"
