"""cron is uprooted while it waits for a minute to begin, and while jobs of that minute run: each runs once, in time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from live import wait
from live.cases import needs
from live.program import Program, tree
from live.roundtrip import roundtrip

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(300)]

LOCKS = ("--locks", "keep")  # of /run/crond.pid
MINUTE = 120  # seconds in which a minute begins, and its jobs are at work, on a slow machine too
JOBS = {"system": "/etc/cron.d/system", "user": "/var/spool/cron/crontabs/root"}
JOB = """minute=$(date +%H:%M)
echo "begin $1 $minute" >>log
read word <"go-$1"
echo "end $1 $minute $word" >>log
"""
AUTHENTICATION = "".join(f"{sort} required pam_permit.so\n" for sort in ("auth", "account", "session"))


def own_tables(folder: Path) -> None:
    """In this mount namespace: a table of the system's and one of a user's, of one job each, and no others."""
    for place in ("/run", "/etc/cron.d", "/var/spool/cron"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "replant", place], check=True)
    for place, text in {"/etc/pam.d/cron": AUTHENTICATION, "/etc/crontab": ""}.items():
        instead = folder / Path(place).name
        instead.write_text(text)
        subprocess.run(["mount", "--bind", instead, place], check=True)
    (folder / "job").write_text(JOB)
    for job, place in JOBS.items():
        os.mkfifo(folder / f"go-{job}")
        table = Path(place)
        table.parent.mkdir(exist_ok=True)
        table.write_text(f'MAILTO=""\n* * * * * {"root" if job == "system" else ""} cd {folder} && sh job {job}\n')
        table.chmod(0o600)


def lines(log: Path, word: str) -> list[str]:
    """What stands behind ``word`` where a line begins with it."""
    written = log.read_text().splitlines() if log.exists() else []
    return [line.removeprefix(word) for line in written if line.startswith(word)]


def test_jobs_run_once_and_in_time(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    log = folder / "log"
    cron = needs("cron")
    own_tables(folder)
    with Program.start([cron, "-f"], folder) as program:
        wait.until(Path("/run/crond.pid").exists, f"cron is up: {program.output()}")
        roundtrip(program, lambda: None, options=LOCKS)
        wait.until(lambda: len(lines(log, "begin ")) >= 2, f"jobs begin: {program.output()}", limit=MINUTE)
        assert len(tree(program.root)) >= 5, "jobs are at work"
        roundtrip(program, lambda: None, options=LOCKS)
        assert not lines(log, "end ")
        for job in JOBS:
            (folder / f"go-{job}").write_text("over\n")
        wait.until(lambda: len(lines(log, "end ")) >= 2, f"jobs end: {program.output()}")
        begun = lines(log, "begin ")
        assert len(set(begun)) == len(begun), "a job ran twice in a minute"
        assert {job.split()[0] for job in begun} == set(JOBS)
        assert {f"{job} over" for job in begun[:2]} == set(lines(log, "end ")[:2])
