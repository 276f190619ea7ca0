"""Which array libraries the tests run on: the fixture `backend`, and what the report says about it."""

from collections.abc import Iterator

import pytest
from backends import ALWAYS, Backend, opened, required, why_not_cupy

PARAMETERS = [*ALWAYS, pytest.param("jax", marks=pytest.mark.jax), "cupy"]


@pytest.fixture(params=PARAMETERS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each array library in turn. Only CuPy is ever skipped, and not where CBAM_NP_REQUIRE names it."""
    if request.param == "cupy":
        skip_without_cupy()
    with opened(request.param) as found:
        yield found


def skip_without_cupy() -> None:
    if (reason := why_not_cupy()) is not None:
        if "cupy" in required():
            pytest.fail(f"CBAM_NP_REQUIRE asks for cupy: {reason}")
        pytest.skip(reason)


def runs_jax(config: pytest.Config) -> bool:
    return bool(config.getoption("markexpr")) or "jax" in required()


def pytest_configure() -> None:
    try:
        required()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not runs_jax(config):
        left_out = [item for item in items if item.get_closest_marker("jax")]
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)


def pytest_report_header(config: pytest.Config) -> list[str]:
    reason = why_not_cupy()
    ran = [*ALWAYS, *["jax"] * runs_jax(config), *["cupy"] * (reason is None)]
    lines = [f"array libraries: {', '.join(ran)} (cupy-standin is NumPy behind CuPy's door, not CuPy)"]
    if not runs_jax(config):
        lines.append("  not jax: left out unless asked for with -m jax")
    if reason is not None:
        lines.append(f"  not cupy: {reason}")
    return lines
