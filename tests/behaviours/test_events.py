"""Section 12 but for asynchronous IO and BPF: event descriptors, notifications, pidfds."""

from __future__ import annotations

from pathlib import Path

import pytest

from behaviours.keeping import kept, refused

pytestmark = pytest.mark.isolated


def test_counters(tmp_path: Path) -> None:
    kept(tmp_path, "events.counters")


def test_poll_sets(tmp_path: Path) -> None:
    kept(tmp_path, "events.targets", "events.closed_targets")


def test_timers(tmp_path: Path) -> None:
    kept(tmp_path, "events.timers")


def test_watches(tmp_path: Path) -> None:
    kept(tmp_path, "notify.watches", "notify.watch_by_another_name")


def test_thousands_of_watches(tmp_path: Path) -> None:
    kept(tmp_path, "notify.thousands", times=1)


def test_the_restore_is_not_noticed(tmp_path: Path) -> None:
    kept(tmp_path, "notify.everything_of_the_tree")


def test_unread_events_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "notify.unread", naming="not yet read")


def test_pidfds(tmp_path: Path) -> None:
    kept(tmp_path, "pidfds.living", "pidfds.of_the_first_thread")


def test_pidfds_of_the_dead(tmp_path: Path) -> None:
    kept(tmp_path, "pidfds.dead")


def test_pidfds_of_threads(tmp_path: Path) -> None:
    refused(tmp_path, "pidfds.of_a_thread", naming="it stands for thread")


def test_watches_on_the_unlinked(tmp_path: Path) -> None:
    kept(tmp_path, "notify.watch_on_the_unlinked")


def test_fanotify_marks(tmp_path: Path) -> None:
    kept(tmp_path, "notify.fan_marks")


def test_unread_fanotify_events_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "notify.fan_unread", naming="not yet read")


def test_a_fanotify_group_that_gives_permissions(tmp_path: Path) -> None:
    refused(tmp_path, "notify.fan_permission", naming="others wait for permissions that it gives")


def test_disarmed_entries(tmp_path: Path) -> None:
    kept(tmp_path, "events.disarmed")


def test_a_disarmed_listener(tmp_path: Path) -> None:
    refused(tmp_path, "events.disarmed_listener", naming="one-shot entry")
