"""What all tests share: helpers below ``tests/`` can be imported; ``isolated`` tests run in their own namespaces."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

from behaviours import ledger
from live.namespace import run_isolated

# How long an example takes is the machine's matter.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "isolated: runs in fresh pid, mount and network namespaces (needs root)")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the body of an isolated test as process 2 of its own namespaces; its fixtures live outside."""
    if pyfuncitem.get_closest_marker("isolated") is None:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    def body() -> None:
        if "mode" in arguments and "tmp_path" in arguments:
            arguments["mode"].prepare(arguments["tmp_path"])
        pyfuncitem.obj(**arguments)

    run_isolated(body)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(ledger.share())
