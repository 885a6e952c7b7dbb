"""A first look at each parser of the inference server with bytes that are nearly in order; tests/tfaas looks for longer."""

from itertools import islice

import pytest

from tests.unit.inference.fuzzing import PARSERS, inputs, tried


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_gives_a_result_or_an_error_of_ours(name: str) -> None:
    for data in islice(inputs(PARSERS[name], seed=8), 300):
        tried(PARSERS[name], data)


@pytest.mark.parametrize("name", PARSERS)
def test_what_it_is_tried_with_first_is_in_order(name: str) -> None:
    """Else only the first check of each parser would be tried."""
    PARSERS[name].read(PARSERS[name].good[0])
