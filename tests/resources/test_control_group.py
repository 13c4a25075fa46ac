"""Control groups of both versions: missing ones are made as they were, with owner, mode and settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from control_groups import PROGRAM, Groups, enter, family, places, started

from live.cases import self_checking
from live.command import replant_json
from live.program import Program
from live.roundtrip import MODES, roundtrip, unchanged
from replant.abi.call import Track
from replant.errors import Blocker, ImageError
from replant.resources.files import control_group
from replant.resources.shared import cgroups
from replant.resources.shared.cgroups import Place

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


def test_all_in_their_groups_again_though_these_were_gone(tmp_path: Path, groups: Groups) -> None:
    """Nested, in a named hierarchy, in both versions; a thread and a child elsewhere; an empty group below."""
    with started(tmp_path) as program:
        root, thread, child = family(program)
        for hierarchy in ("cpu", "name=systemd", "", "pids"):
            enter(groups.make(hierarchy, "a/b"), root)
            groups.make(hierarchy, "a/b/empty/one")
        enter(groups.make("cpu", "thread"), thread, "tasks")
        enter(groups.make("name=systemd", "other/child"), child)
        before = [places(root), places(root, thread), places(child)]
        assert before[0]["cpu"] != before[1]["cpu"] == f"/{groups.name}/thread"

        def check() -> None:
            root, thread, child = family(program)
            assert [places(root), places(root, thread), places(child)] == before
            assert (groups.roots["pids"] / "a/b/empty/one").is_dir()
            program.ask()

        image = tmp_path.with_name(tmp_path.name + ".image")
        replant_json("dump", root, "-o", image, "--kill")
        program.reap()
        groups.remove()
        replant_json("restore", image, "--detach")
        unchanged(image, root)
        check()
        roundtrip(program, check, MODES["new-pids"])


def test_settings_owner_and_mode(tmp_path: Path, groups: Groups) -> None:
    with started(tmp_path) as program:
        cpu, memory, devices, cpuset = (groups.make(h, "x/y") for h in ("cpu", "memory", "devices", "cpuset"))
        two = groups.make("", "x/y")
        groups.enable("hugetlb")
        values = {
            cpu / "cpu.shares": "512",
            cpu / "cpu.cfs_quota_us": "70000",
            cpu.parent / "notify_on_release": "1",
            memory / "memory.limit_in_bytes": str(1 << 30),
            memory / "memory.soft_limit_in_bytes": str(1 << 29),
            two / "cgroup.max.depth": "7",
            two / "cgroup.max.descendants": "9",
            two.parent / "cgroup.subtree_control": "hugetlb",
            two / "hugetlb.2MB.max": str(8 << 21),
            cpuset / "cpuset.cpus": "0",
            cpuset / "cpuset.memory_migrate": "1",
        }
        for file, value in values.items():
            file.write_text(f"+{value}" if file.name == "cgroup.subtree_control" else value)
        (devices / "devices.deny").write_text("a")
        for line in ("c 1:3 rw", "c 1:5 r"):
            (devices / "devices.allow").write_text(line)
        values[devices / "devices.list"] = "c 1:3 rw\nc 1:5 r"
        os.chown(two, 1234, 1235)
        os.chown(two / "cgroup.procs", 1234, 1235)
        os.chmod(cpu, 0o750)
        for group in (cpu, memory, devices, cpuset, two):
            enter(group, program.root)

        def check() -> None:
            assert {file: file.read_text().strip() for file in values} == values
            assert (two.stat().st_uid, two.stat().st_gid, cpu.stat().st_mode & 0o777) == (1234, 1235, 0o750)
            program.ask()

        image = tmp_path.with_name(tmp_path.name + ".image")
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        program.kill()
        groups.remove()
        replant_json("restore", image, "--detach")
        unchanged(image, program.root)
        check()


def test_what_was_made_is_taken_back(tmp_path: Path, groups: Groups) -> None:
    """The restore fails when groups have been made: one of them cannot have that setting any more."""
    image = tmp_path.with_name(tmp_path.name + ".image")
    with started(tmp_path) as program:
        groups.make("cpuset", "a")
        enter(groups.make("cpuset", "a/b"), program.root)
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        groups.remove()
        (groups.roots["cpuset"]).mkdir()  # a group that allows no processor
        assert replant_json("restore", image, "--detach", expect=1)["code"] == "restore-step"
        assert not (groups.roots["cpuset"] / "a").exists()
        os.rmdir(groups.roots["cpuset"])
        replant_json("restore", image, "--detach")
        program.ask()


def test_who_waits_for_pressure_is_refused(tmp_path: Path, groups: Groups) -> None:
    group = groups.make("")
    if not (group / "cpu.pressure").exists():
        pytest.skip("this kernel does not tell of pressure")
    trigger = f"""
import os
fd = os.open("{group}/cpu.pressure", os.O_RDWR)
os.write(fd, b"some 500000 2000000\\0")
"""
    with started(tmp_path, trigger + PROGRAM) as program:
        (blocker,) = replant_json("check", program.root, expect=1)["blockers"]
        assert blocker["code"] == "kind-pressure_trigger"
        program.ask()


def test_what_is_no_group_is_no_image() -> None:
    for path in ("", "x", "/../x", "/a/../../x"):
        with pytest.raises(ImageError):
            cgroups.folder(Place("cpu", path))
    with pytest.raises(Blocker, match="not mounted"):
        cgroups.folder(Place("name=nobody-has-this", "/a"))
    bad = control_group.Setting("../x", "1", 0, 0)
    state = control_group.State(Place("cpu", "/none-such"), 0o755, 0, 0, True, (bad,))
    with pytest.raises(ImageError):
        control_group._make("/none-such", state, Track("x"))


def holder(folder: Path, group: Path, setting: str) -> Program:
    """A program that has files and directories of ``group`` open, of whose file ``setting`` one."""
    program, _ = self_checking([sys.executable, str(HERE / "group_holder.py"), str(group), setting], folder)
    return program


@pytest.mark.parametrize(("hierarchy", "setting"), [("", "cgroup.max.depth"), ("pids", "pids.max")])
def test_descriptors_of_groups_that_are_made_again(
    hierarchy: str, setting: str, tmp_path: Path, groups: Groups
) -> None:
    with holder(tmp_path, groups.make(hierarchy, "a"), setting) as program:
        image = tmp_path.with_name(tmp_path.name + ".image")
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        groups.remove()
        replant_json("restore", image, "--detach")
        unchanged(image, program.root)
        program.ask()
        roundtrip(program, program.ask)


def test_descriptors_of_groups_that_are_not_made_are_refused(tmp_path: Path, groups: Groups) -> None:
    with holder(tmp_path, groups.make("pids", "a"), "pids.max") as program:
        image = tmp_path.with_name(tmp_path.name + ".image")
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        groups.remove()
        answer = replant_json("restore", image, "--detach", "--cgroups", "ignore", expect=1)
        assert {b["code"] for b in answer["blockers"]} == {"file-gone"}
        assert len(answer["blockers"]) == 4
