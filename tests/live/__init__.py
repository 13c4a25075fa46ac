"""The harness for tests on live processes: namespaces, programs that check themselves, round trips."""
