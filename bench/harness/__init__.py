"""The parts of bench/run, bench/alloc and bench/idle. Python's standard library only."""
