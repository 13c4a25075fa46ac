"""A program on a terminal: what is typed comes back in capitals, until the end of input; Ctrl-C is counted."""

from __future__ import annotations

import signal
import sys
import termios

interrupts = 0


def interrupted(*_: object) -> None:
    global interrupts
    interrupts += 1
    print(f"interrupt {interrupts}", flush=True)


signal.signal(signal.SIGINT, interrupted)
settings = termios.tcgetattr(0)
settings[3] &= ~termios.ECHO
termios.tcsetattr(0, termios.TCSANOW, settings)
print("listening", flush=True)
for line in sys.stdin:
    print(line.strip().upper(), flush=True)
sys.exit(interrupts)
