"""The groups of each task: its own again, those below another one, or those of who restores; not if one is frozen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from control_groups import PROGRAM, Groups, enter, family, places, started

from live import wait
from live.command import replant_json

pytestmark = pytest.mark.isolated


def test_threads_of_a_threaded_group(tmp_path: Path, groups: Groups) -> None:
    with started(tmp_path) as program:
        domain, one, two = (groups.make("", path) for path in ("t", "t/one", "t/two"))
        for group in (one, two):
            (group / "cgroup.type").write_text("threaded")
        root, thread, _ = family(program)
        enter(domain, root)
        enter(one, root, "cgroup.threads")
        enter(two, thread, "cgroup.threads")

        def check() -> None:
            root, thread, _ = family(program)
            assert (places(root)[""], places(root, thread)[""]) == (f"/{groups.name}/t/one", f"/{groups.name}/t/two")
            program.ask()

        check()
        image = tmp_path.with_name(tmp_path.name + ".image")
        replant_json("dump", root, "-o", image, "--kill")
        program.reap()
        groups.remove()
        replant_json("restore", image, "--detach")
        check()
        assert (one / "cgroup.type").read_text() == "threaded\n"


def test_elsewhere_or_not_at_all(tmp_path: Path, groups: Groups) -> None:
    image = tmp_path.with_name(tmp_path.name + ".image")
    with started(tmp_path) as program:
        enter(groups.make("cpu", "a"), program.root)
        enter(groups.make("pids", "a"), program.root)
        enter(groups.roots["cpu"] / "a", family(program)[2])
        report = replant_json("dump", program.root, "-o", image, "--kill")
        assert any(f"cpu:/{groups.name}/a" in note for note in report["notes"])
        program.reap()
        groups.remove()
        replant_json("restore", image, "--detach", "--cgroups", "ignore")
        assert places(program.root) == places(os.getpid())
        assert not groups.roots["cpu"].exists()
        program.ask()
        program.kill()
        for root in groups.roots.values():
            root.mkdir()
            if (root / "cpuset.mems").exists():
                for name in ("cpuset.mems", "cpuset.cpus"):
                    (root / name).write_text("0")
        (groups.roots["pids"] / groups.name).mkdir()
        (groups.roots["pids"] / groups.name / "a").mkdir()
        (groups.roots["pids"] / groups.name / "a/pids.max").write_text("77")
        replant_json("restore", image, "--detach", "--cgroups", f"/{groups.name}")
        assert places(program.root)["cpu"] == places(program.root)["pids"] == f"/{groups.name}/{groups.name}/a"
        assert (groups.roots["pids"] / groups.name / "a/pids.max").read_text() == "77\n"
        program.ask()


def test_a_frozen_group_is_refused(tmp_path: Path, groups: Groups) -> None:
    with started(tmp_path) as program:
        group = groups.make("", "cold")
        enter(group, program.root)
        (group / "cgroup.freeze").write_text("1")
        try:
            wait.until(lambda: "frozen 1" in (group / "cgroup.events").read_text(), "it is frozen")
            (blocker,) = replant_json("check", program.root, expect=1)["blockers"]
            assert (blocker["code"], blocker["resource"]) == ("cgroup-frozen", f"/{groups.name}/cold")
            assert "frozen 1" in (group / "cgroup.events").read_text()
        finally:
            (group / "cgroup.freeze").write_text("0")
        program.ask()


def test_a_frozen_group_of_version_1_is_refused(tmp_path: Path, groups: Groups) -> None:
    with started(tmp_path) as program:
        group = groups.make("freezer")
        enter(group, program.root)
        (group / "freezer.state").write_text("FROZEN")
        try:
            (blocker,) = replant_json("check", program.root, expect=1)["blockers"]
            assert blocker["code"] == "does-not-stop"
            assert "frozen" in blocker["hint"]
        finally:
            (group / "freezer.state").write_text("THAWED")
        program.ask()


def test_a_group_that_is_frozen_here_is_not_entered(tmp_path: Path, groups: Groups) -> None:
    image = tmp_path.with_name(tmp_path.name + ".image")
    with started(tmp_path) as program:
        group = groups.make("")
        enter(group, program.root)
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        (group / "cgroup.freeze").write_text("1")
        assert replant_json("restore", image, "--detach", expect=1)["code"] == "cgroup-frozen"
        (group / "cgroup.freeze").write_text("0")
        replant_json("restore", image, "--detach")
        program.ask()


def test_memory_that_is_shared_across_groups(tmp_path: Path, groups: Groups) -> None:
    """A process that loads memory for its child enters its group before; the child is born there, and is not of it."""
    with started(tmp_path, "import os; memory = os.urandom(20 << 20)\n" + PROGRAM) as program:
        root, _, child = family(program)
        enter(groups.make("", "a"), root)
        before = places(root), places(child)
        assert before[0] != before[1]
        image = tmp_path.with_name(tmp_path.name + ".image")
        replant_json("dump", root, "-o", image, "--kill")
        program.reap()
        replant_json("restore", image, "--detach")
        assert (places(root), places(child)) == before
        text = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()[1:]
        memory = {line.split()[0]: int(line.split()[1]) for line in text}
        assert memory["Pss_Anon:"] < 0.7 * memory["Anonymous:"]
        program.ask()
