"""The walk over function bodies, in C, compiled to WebAssembly: `walk.c` says what it does, `host.py` runs it."""
