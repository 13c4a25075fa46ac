"""Section 11: files, by programs that have them and check themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from behaviours.keeping import ask, kept, refused, start
from live.command import replant, replant_json
from replant.resources.shared.build_id import build_id

pytestmark = pytest.mark.isolated
KEEP = ("--locks", "keep")


def test_offsets_and_flags(tmp_path: Path) -> None:
    kept(tmp_path, "regular.offsets_and_flags", "regular.appended")


def test_descriptor_numbers(tmp_path: Path) -> None:
    kept(tmp_path, "regular.numbers")


def test_shared_descriptions(tmp_path: Path) -> None:
    kept(tmp_path, "regular.descriptions", "regular.fetched")


def test_unlinked_attributes(tmp_path: Path) -> None:
    kept(tmp_path, "unlinked.attributes", "unlinked.inode_flags", "unlinked.on_tmpfs")


def test_unlinked_with_another_link(tmp_path: Path) -> None:
    kept(tmp_path, "unlinked.another_link_is_left", "unlinked.another_link_replaced")


def test_unlinked_shapes(tmp_path: Path) -> None:
    kept(tmp_path, "unlinked.replaced", "unlinked.all_links_gone", "unlinked.directory_is_gone")


def test_unlinked_odd_places(tmp_path: Path) -> None:
    kept(tmp_path, "unlinked.odd_names", "unlinked.unwritable_directory", "unlinked.read_only_mount")


def test_unlinked_mapped(tmp_path: Path) -> None:
    kept(tmp_path, "unlinked.only_mapped", "unlinked.mapped_and_open")


def test_unlinked_holes(tmp_path: Path) -> None:
    kept(tmp_path, "unlinked.holes", times=1)


def test_unlinked_up_to_the_limit(tmp_path: Path) -> None:
    kept(tmp_path, "unlinked.large", options=("--unlinked-limit", "1000"), times=1)


def test_unlinked_above_the_limit(tmp_path: Path) -> None:
    refused(tmp_path, "unlinked.too_large", naming="more than the limit of 1000", options=("--unlinked-limit", "1000"))


def test_nameless(tmp_path: Path) -> None:
    kept(tmp_path, "unlinked.nameless")


def test_directories(tmp_path: Path) -> None:
    kept(tmp_path, "directories.ordinary", "directories.removed", "directories.removed_current")


def test_half_read_directories(tmp_path: Path) -> None:
    kept(tmp_path, "directories.half_read")


def test_another_root(tmp_path: Path) -> None:
    kept(tmp_path, "directories.chroot")


def test_locks_of_processes(tmp_path: Path) -> None:
    kept(tmp_path, "locks.record", "locks.record_in_two_processes", "locks.record_of_the_second", options=KEEP)


def test_locks_of_descriptions(tmp_path: Path) -> None:
    kept(tmp_path, "locks.of_the_description", "locks.whole_file", "locks.all_kinds_on_one", options=KEEP)


def test_locks_are_refused_unless_asked_for(tmp_path: Path) -> None:
    refused(tmp_path, "locks.a_lock", naming="a lock is held on it (FLOCK)")


def test_leases(tmp_path: Path) -> None:
    kept(tmp_path, "locks.leases", "locks.broken_leases", "locks.lease_of_a_child", options=KEEP)


def test_devices(tmp_path: Path) -> None:
    kept(tmp_path, "places.devices")


def test_path_only(tmp_path: Path) -> None:
    kept(tmp_path, "places.path_only", "places.path_only_unlinked", "places.path_only_of_pipes")


def test_files_of_procfs(tmp_path: Path) -> None:
    kept(tmp_path, "places.procfs", "places.procfs_of_a_grandchild")


def test_files_of_procfs_about_the_dead(tmp_path: Path) -> None:
    kept(tmp_path, "places.procfs_of_the_dead")


def test_current_directory_of_the_dead(tmp_path: Path) -> None:
    kept(tmp_path, "places.current_directory_of_the_dead")


def test_files_of_procfs_about_threads(tmp_path: Path) -> None:
    refused(tmp_path, "places.of_a_thread", naming="it is about thread")


def test_links_to_namespaces(tmp_path: Path) -> None:
    kept(tmp_path, "places.namespaces")


def test_a_namespace_held_by_a_descriptor(tmp_path: Path) -> None:
    refused(tmp_path, "places.another_namespace", naming="it holds a namespace (net) that its process is not in")


def test_replaced_programs(tmp_path: Path) -> None:
    kept(tmp_path, "programs.replaced_program", "programs.replaced_library")


def test_a_library_that_differs_at_restore(tmp_path: Path) -> None:
    with start(tmp_path, "programs.a_library") as program:
        library, image = tmp_path / "tree/own.so", tmp_path / "image"
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        st, whole = library.stat(), library.read_bytes()
        at = whole.index(build_id(str(library)))
        library.write_bytes(whole[:at] + bytes(20) + whole[at + 20 :])
        os.utime(library, ns=(st.st_atime_ns, st.st_mtime_ns))
        done = replant("restore", image, "--detach")
        assert done.returncode == 1 and "own.so: it is not the program with the build ID" in done.stderr
        library.write_bytes(whole)  # the same again, installed later
        replant_json("restore", image, "--detach")
        ask(program)


def test_a_file_that_differs_at_restore(tmp_path: Path) -> None:
    with start(tmp_path, "regular.offsets_and_flags") as program:
        data, image = tmp_path / "tree/data", tmp_path / "image"
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        os.utime(data)
        done = replant("restore", image, "--detach")
        assert done.returncode == 1 and "data: it was modified after the image was made" in done.stderr
        with data.open("r+b") as file:
            file.truncate(7)
        done = replant("restore", image, "--detach")
        assert done.returncode == 1 and "has 7 now" in done.stderr


def test_files_of_an_overlay(tmp_path: Path) -> None:
    kept(tmp_path, "regular.on_overlay")
