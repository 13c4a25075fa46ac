"""What is said of the host: features are tried, what is missing comes with a way out, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from live.command import command, replant
from replant.errors import UsageError
from replant.host import Feature, probe
from replant.policy import OPTIONS, YES, Policy

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_every_feature_says_what_for_and_what_else() -> None:
    features = probe().features
    assert len({f.name for f in features}) == len(features) > 20
    for feature in features:
        assert feature.detail, feature
        assert feature.serves, feature
        assert feature.fix, feature


def test_probing_leaves_nothing() -> None:
    before = os.listdir("/proc/self/fd")
    probe()
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_asking_for_a_feature() -> None:
    host = probe()
    assert host.has("kernel")
    with pytest.raises(KeyError):
        host.has("magic")
    assert host.xfeatures & 3 == 3, "x87 and SSE are everywhere"
    assert all(f.required and not f.present for f in host.missing())


def test_rows_for_people() -> None:
    rows = replant("check").stdout.splitlines()
    assert any(row.startswith("ok       kernel") for row in rows)
    for number, row in enumerate(rows):
        if row.startswith(("MISSING", "without")):
            assert rows[number + 1].startswith("         fix: ")


def without(*capabilities: str) -> dict[str, Any]:
    """What is said where even root lacks some capabilities."""
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    dropped = ",".join(f"-{c}" for c in capabilities)
    words = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", *command("check", "--json")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    return {f["name"]: f for f in json.loads(done.stdout)["features"]}


@needs_root
def test_a_missing_capability_shows_where_it_acts() -> None:
    said = without("checkpoint_restore", "sys_admin")
    assert not said["cap_checkpoint_restore"]["present"]
    assert "not even root" in said["cap_checkpoint_restore"]["fix"]
    assert not said["clone3-set-tid"]["present"]
    assert "EPERM" in said["clone3-set-tid"]["detail"]
    assert said["kcmp"]["present"]


@needs_root
def test_what_is_missing_but_optional_is_no_failure() -> None:
    def ok(feature: Feature) -> bool:
        return feature.present or not feature.required

    expected = 0 if all(map(ok, probe().features)) else 1
    assert replant("check").returncode == expected


@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: o.name)
def test_a_choice_that_is_none_is_refused(option: Any) -> None:
    if option.unit not in ("PATH", "PATH|ignore"):
        with pytest.raises(UsageError, match=f"{option.name} takes "):
            Policy({option.name: "whatever"})
    words = {"": YES, "OLD=NEW": "/old=/new", "ADDRESS=ADDRESS": "::1=::2", "embed[:PATTERN]": "embed:/srv/*"}
    good = option.choices[0] if option.choices else words.get(option.unit, "4096")
    assert Policy({option.name: good}).choice(option.name) == good
    assert Policy().choice(option.name) == ""


def test_an_option_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="no option is named 'colour'"):
        Policy({"colour": "green"})
