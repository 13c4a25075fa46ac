"""CPython with asyncio: timers, streams over a socket pair, a server, a subprocess, a thread pool."""

from __future__ import annotations

import asyncio
import signal
import socket

import selfcheck

ticks = 0


async def tick() -> None:
    global ticks
    while True:
        await asyncio.sleep(0.002)
        ticks += 1


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


class Service:
    """Everything that is open across the dump."""

    async def start(self) -> None:
        """Open it."""
        ours, theirs = socket.socketpair()
        self.reader, self.writer = await asyncio.open_connection(sock=ours)
        self.echoing = asyncio.create_task(echo(*await asyncio.open_connection(sock=theirs)))
        self.server = await asyncio.start_server(echo, "127.0.0.1", 0)
        self.ticking = asyncio.create_task(tick())
        self.child = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        await asyncio.to_thread(sum, range(1000))

    async def check(self) -> None:
        """Use it."""
        before = ticks
        assert await self.say(self.reader, self.writer, b"hello\n") == b"HELLO\n"
        assert self.child.stdin and self.child.stdout
        self.child.stdin.write(b"through a pipe\n")
        assert await self.child.stdout.readline() == b"through a pipe\n"
        assert await asyncio.to_thread(sum, range(1000)) == 499500
        await self.check_server()
        await asyncio.sleep(0.05)
        assert ticks > before, "timers stand still"

    async def check_server(self) -> None:
        """A new connection, closed on both sides before this returns."""
        reader, writer = await asyncio.open_connection(*self.server.sockets[0].getsockname())
        assert await self.say(reader, writer, b"by tcp\n") == b"BY TCP\n"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        while len(asyncio.all_tasks()) > 3:  # the server's side ends: this one, tick and echo remain
            await asyncio.sleep(0)

    async def say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
        """Write a line, read one."""
        writer.write(line)
        return await asyncio.wait_for(reader.readline(), 20)


async def main() -> None:
    service = Service()
    await service.start()
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    selfcheck.write("ready", "")
    while True:
        await asked.wait()
        asked.clear()
        try:
            await service.check()
        except BaseException as wrong:
            selfcheck.write("verdict", f"{type(wrong).__name__}: {wrong}")
        else:
            selfcheck.write("verdict", "ok")


asyncio.run(main())
