"""Small guests that write, trap, wait and grow."""

from __future__ import annotations

from pathlib import Path

_HEAD = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\20\\00\\00\\00\\0c\\00\\00\\00")
  (data (i32.const 8) "\\30\\00\\00\\00\\05\\00\\00\\00")
  (data (i32.const 32) "hello\\nworld\\n")
  (data (i32.const 48) "oops\\n")
  (func $say (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func $cry (drop (call $fd_write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 100))))
  (func $nap (param $ns i64)
    (i32.store (i32.const 216) (i32.const 1))
    (i64.store (i32.const 224) (local.get $ns))
    (drop (call $poll_oneoff (i32.const 200) (i32.const 304) (i32.const 1) (i32.const 400))))
"""
EXIT_3 = _HEAD + '(func (export "_start") (call $say) (call $cry) (call $say) (call $proc_exit (i32.const 3))))'
TRAP = _HEAD + '(func $deep unreachable) (func (export "_start") (call $say) (call $deep)))'
GROW = _HEAD + (
    "(func $greedy (drop (memory.grow (i32.const 60000))) (drop (memory.grow (i32.const 60000))))"
    '(func (export "_start") (call $greedy)))'
)
LOOP = _HEAD + '(func (export "_start") (call $say) (loop $again (call $nap (i64.const 20000000)) (br $again))))'
SLOW = _HEAD + (
    '(func (export "_start") (local $n i32)'
    "(loop $again (call $say) (call $nap (i64.const 20000000))"
    "(br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 60))))"
    "(call $proc_exit (i32.const 3))))"
)


def guest(folder: Path, text: str, name: str = "talk.wat") -> Path:
    path = folder / name
    path.write_text(text)
    return path
