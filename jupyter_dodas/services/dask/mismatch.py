"""What Dask's scheduler says of versions that differ: nothing of Pythons that understand each other."""

from collections.abc import Mapping
from typing import Any

from distributed import versions

__all__ = ["forgive"]

_error_message = versions.error_message


def forgive() -> None:
    """Have the scheduler of this process compare Python by its feature releases, as a launch does."""
    versions.error_message = _by_feature


def _by_feature(scheduler: Any, workers: Mapping[str, Any], source: Any, source_name: str = "Client") -> Any:
    of_workers = {name: _rounded(said) for name, said in workers.items()}
    return _error_message(_rounded(scheduler), of_workers, _rounded(source), source_name)  # type: ignore[no-untyped-call]


def _rounded(said: Any) -> Any:
    if not said or "packages" not in said:
        return said
    packages = said["packages"]
    return {**said, "packages": {**packages, "python": ".".join(str(packages.get("python", "")).split(".")[:2])}}
