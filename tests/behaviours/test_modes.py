"""What sections 3, 11 and 12 name, many things in one program, in every way to dump and to restore; and by diff."""

from __future__ import annotations

from pathlib import Path

import pytest

from behaviours.keeping import ask, start
from live.roundtrip import MODES, Mode, roundtrip

pytestmark = pytest.mark.isolated

ANYBODY = {
    "locks": "record record_in_two_processes of_the_description whole_file all_kinds_on_one leases lease_of_a_child",
    "events": "counters targets closed_targets disarmed timers",
    "pidfds": "living dead of_the_first_thread",
    "programs": "replaced_program replaced_library",
    "signals": "masks_of_waiting_calls pending_trap",
}
ROOT = {
    "regular": "offsets_and_flags appended descriptions fetched precious",
    "unlinked": "attributes another_link_is_left another_link_replaced replaced all_links_gone only_mapped nameless",
    "directories": "ordinary removed removed_current chroot",
    "places": "path_only_unlinked path_only_of_pipes devices procfs procfs_of_the_dead namespaces",
    "notify": "watch_on_the_unlinked watch_by_another_name fan_marks",
}
_MEMORY = ("anon", "mapping", "pages", "mm")


def goes_on(folder: Path, module: str, names: str, mode: Mode) -> None:
    with start(folder, *[f"{module}.{name}" for name in names.split()]) as program:
        roundtrip(program, lambda: ask(program), mode, times=1, options=("--locks", "keep"), moving=_MEMORY)


def modes(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mode", [MODES[name] for name in names], ids=names)


@modes("stop", "new-pids", "unprivileged", "snapshot")
@pytest.mark.parametrize("module", ANYBODY)
def test_of_anybody(module: str, mode: Mode, tmp_path: Path) -> None:
    goes_on(tmp_path, module, ANYBODY[module], mode)


@modes("stop", "new-pids", "lazy")
@pytest.mark.parametrize("module", ROOT)
def test_of_root(module: str, mode: Mode, tmp_path: Path) -> None:
    goes_on(tmp_path, module, ROOT[module], mode)
