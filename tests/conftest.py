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


def libraries(config: pytest.Config) -> list[str]:
    """Those that this run takes in: JAX is an extra that nothing else needs, so it has to be asked for."""
    marks: str = config.getoption("markexpr")
    jax = ["jax"] if ("jax" in marks and "not jax" not in marks) or "jax" in required() else []
    cupy = ["cupy"] if why_not_cupy() is None else []
    return jax if marks == "jax" else [*ALWAYS, *jax, *cupy]


def pytest_configure() -> None:
    try:
        required()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "jax" not in libraries(config):
        left_out = [item for item in items if item.get_closest_marker("jax")]
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)


def pytest_report_header(config: pytest.Config) -> list[str]:
    ran = libraries(config)
    lines = [f"array libraries: {', '.join(ran)}"]
    if "cupy-standin" in ran:
        lines.append("  cupy-standin is NumPy behind CuPy's door: passing there is not passing on CuPy")
    if "jax" not in ran:
        lines.append("  not jax: left out unless asked for with -m jax")
    if (reason := why_not_cupy()) is not None:
        lines.append(f"  not cupy: {reason}")
    return lines
