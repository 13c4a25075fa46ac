"""The public API: what ``import replant`` gives, and what it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import replant

PACKAGE = Path(replant.__file__).parent
FUNCTIONS = ("check", "diff", "dump", "inspect", "plan", "restore")


@pytest.mark.parametrize("name", replant.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    thing = getattr(replant, name)
    assert name == "__version__" or inspect.getdoc(thing)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_no_module(name: str) -> None:
    """A submodule of that name would take the function's place in the package as soon as somebody imports it."""
    assert inspect.isfunction(getattr(replant, name))
    assert not (PACKAGE / f"{name}.py").exists()
    assert not (PACKAGE / name).exists()
    __import__(f"replant.flows.{'capture' if name == 'inspect' else name}")
    assert inspect.isfunction(getattr(replant, name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_typed(name: str) -> None:
    signature = inspect.signature(getattr(replant, name))
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name


def test_dir_shows_what_there_is() -> None:
    assert set(replant.__all__) <= set(dir(replant))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'uproot'"):
        replant.uproot  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_loads_nothing_else() -> None:
    code = "import sys; import replant; print(*(m for m in sys.modules if m.startswith('replant')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["replant", "replant._load"]


def test_errors_carry_what_programs_need() -> None:
    error = replant.Blocker("no", code="kind-x", pid=1, resource="fd 3", hint="close it")
    assert (error.code, error.pid, error.resource, error.hint) == ("kind-x", 1, "fd 3", "close it")
    refused = replant.Refused("no", [error])
    assert refused.blockers == (error,)
    assert refused.as_dict()["blockers"] == [error.as_dict()]
    assert issubclass(replant.Refused, replant.ReplantError)
