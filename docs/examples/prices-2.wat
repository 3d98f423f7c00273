;; The next release: somebody made the rates configurable, and looks each of them up.
(module
  (global $rates i32 (i32.const 8))
  (func $rate (param $item i32) (result i32)
    (loop $less
      (if (i32.ge_u (local.get $item) (global.get $rates))
        (then
          (local.set $item (i32.sub (local.get $item) (global.get $rates)))
          (br $less))))
    (local.get $item))
  (func $rounded (param $price i32) (result i32)
    (i32.mul (i32.div_u (local.get $price) (i32.const 5)) (i32.const 5)))
  (func $price (param $item i32) (result i32)
    (i32.mul (local.get $item) (call $rate (local.get $item))))
  (func (export "_start") (local $item i32)
    (loop $next
      (drop (call $rounded (call $price (local.get $item))))
      (local.set $item (i32.add (local.get $item) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $item) (i32.const 1000))))))
