"""PostgreSQL with psql in the middle of a transaction: the client keeps its connection, the transaction goes on."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time

import selfcheck

INITDB, POSTGRES, PSQL = sys.argv[1:]
user = pwd.getpwnam("postgres")
here = os.getcwd()
os.makedirs("db")
os.chown("db", user.pw_uid, user.pw_gid)
as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
environment = {**os.environ, "LC_ALL": "C"}
subprocess.run(
    [INITDB, "-D", "db", "-A", "trust", "-N"], check=True, env=environment, stdout=subprocess.DEVNULL, **as_user
)  # type: ignore[call-overload]
words = ["-D", f"{here}/db", "-k", f"{here}/db", "-c", "listen_addresses=", "-c", "fsync=off"]
server = subprocess.Popen([POSTGRES, *words], env=environment, **as_user)  # type: ignore[call-overload]


def client() -> subprocess.Popen[str]:
    argv = [PSQL, "-h", f"{here}/db", "-U", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1", "postgres"]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def ask(psql: subprocess.Popen[str], words: str) -> list[str]:
    assert psql.stdin and psql.stdout
    psql.stdin.write(words + ";\n\\echo end\n")
    lines = []
    while (line := psql.stdout.readline().strip()) != "end":
        assert psql.poll() is None, f"psql has ended: {line}"
        lines.append(line)
    return lines


for _ in range(200):
    if os.path.exists("db/.s.PGSQL.5432"):
        break
    time.sleep(0.05)
writer, reader = client(), client()
ask(writer, "create table t(n int primary key, data text)")
ask(writer, "insert into t select n, repeat('x', n % 100) from generate_series(1, 1000) n")
ask(writer, "begin")
ask(writer, "insert into t values (-1, 'not yet seen')")
turn = 1


def check() -> None:
    global turn
    turn += 1
    ask(writer, f"insert into t values ({-turn}, 'later')")
    assert ask(writer, "select count(*) from t where n < 0") == [str(turn)], "the transaction lost a row"
    assert ask(reader, "select count(*), sum(length(data)) from t") == ["1000|49500"], "others see wrong rows"
    third = client()
    assert ask(third, "select 6 * 7") == ["42"], "no new connection can be made"
    assert third.stdin
    third.stdin.close()
    third.wait()
    assert server.poll() is None


selfcheck.serve(check)
