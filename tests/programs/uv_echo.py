"""uvloop: an echo server on a unix socket and its clients, timers and a child process, on one event loop."""

from __future__ import annotations

import asyncio
import os
import signal

import selfcheck
import uvloop

PATH = os.path.abspath("socket")
ticks = 0


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()


async def tick() -> None:
    global ticks
    while True:
        await asyncio.sleep(0.002)
        ticks += 1


async def main() -> None:
    server = await asyncio.start_unix_server(echo, PATH)
    clients = [await asyncio.open_unix_connection(PATH) for _ in range(5)]
    child = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    ticking = asyncio.create_task(tick())
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    selfcheck.write("ready", str(os.getpid()))

    async def check() -> None:
        before = ticks
        for reader, writer in [*clients, (child.stdout, child.stdin)]:
            assert reader and writer
            message = os.urandom(20_000)
            writer.write(message)
            assert await asyncio.wait_for(reader.readexactly(len(message)), 20) == message
        reader, writer = await asyncio.open_unix_connection(PATH)
        writer.write(b"new")
        assert await asyncio.wait_for(reader.readexactly(3), 20) == b"new"
        writer.close()
        while ticks == before:
            await asyncio.sleep(0.001)
        assert not ticking.done() and server.is_serving()

    while True:
        await asked.wait()
        asked.clear()
        try:
            await check()
        except BaseException as wrong:
            selfcheck.write("verdict", f"{type(wrong).__name__}: {wrong}")
        else:
            selfcheck.write("verdict", "ok")


uvloop.run(main())
