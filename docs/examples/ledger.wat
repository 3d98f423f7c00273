;; Closes three months of a ledger; the last has no entries, and nobody thought of that.
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "\03\00\00\00\02\00\00\00\00\00\00\00")
  (func $sum (param $month i32) (result i32)
    (i32.mul (local.get $month) (i32.const 100)))
  (func $average (param $month i32) (result i32)
    (i32.div_u
      (call $sum (local.get $month))
      (i32.load (i32.shl (local.get $month) (i32.const 2)))))
  (func $close_month (param $month i32)
    (i32.store
      (i32.add (i32.const 64) (i32.shl (local.get $month) (i32.const 2)))
      (call $average (local.get $month))))
  (func (export "_start")
    (call $close_month (i32.const 0))
    (call $close_month (i32.const 1))
    (call $close_month (i32.const 2))))
