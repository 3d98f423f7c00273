;; The price of each of 1,000 items, by one of eight rates.
(module
  (func $rate (param $item i32) (result i32)
    (i32.and (local.get $item) (i32.const 7)))
  (func $price (param $item i32) (result i32)
    (i32.mul (local.get $item) (call $rate (local.get $item))))
  (func (export "_start") (local $item i32)
    (loop $next
      (drop (call $price (local.get $item)))
      (local.set $item (i32.add (local.get $item) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $item) (i32.const 1000))))))
