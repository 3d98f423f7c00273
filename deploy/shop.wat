;; A demo for dashboards and alerts: a shop that answers requests, and then loops.
;;
;; `serve DELAY LOOP`: serves about 50 requests a second for DELAY seconds. Then the price list is gone, and for LOOP
;; seconds `fetch_price` tries to open it again and again without a pause. Then it serves on, until it is stopped.
;; `crash`: a request that makes it trap.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))

  ;; 0: a subscription of poll_oneoff; 64: its event; 128: results; 144: what to write; 192: texts
  (memory (export "memory") 2)
  (data (i32.const 192) "prices.csv is gone\n")
  (data (i32.const 224) "prices.csv is back\n")
  (global $requests (mut i32) (i32.const 0))

  (func $now (result i64)
    (drop (call $clock_time_get (i32.const 1) (i64.const 1000000) (i32.const 128)))
    (i64.load (i32.const 128)))

  ;; Sleeps for 20 ms: one subscription to the monotonic clock.
  (func $wait_for_request
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 20000000))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))

  ;; True if the price list could be opened, which it cannot: nobody gave this program a directory.
  (func $fetch_price (result i32)
    (i32.eqz (call $path_open (i32.const 3) (i32.const 0) (i32.const 192) (i32.const 10) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 128))))

  (func $checksum (param $value i32) (result i32)
    (i32.rem_u (i32.mul (local.get $value) (i32.const 1103515245)) (i32.const 65521)))

  (func $say (param $text i32)
    (i32.store (i32.const 144) (local.get $text))
    (i32.store (i32.const 148) (i32.const 19))
    (drop (call $fd_write (i32.const 1) (i32.const 144) (i32.const 1) (i32.const 128))))

  ;; Some milliseconds of work.
  (func $render_page (result i32)
    (local $left i32) (local $sum i32)
    (local.set $left (i32.const 8000000))
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (i32.mul (local.get $left) (local.get $left))))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $checksum (local.get $sum)))

  ;; One page of memory in every 50 requests, until it is refused.
  (func $keep_in_cache
    (if (i32.eqz (i32.rem_u (global.get $requests) (i32.const 50)))
      (then (drop (memory.grow (i32.const 1))))))

  (func $handle_request
    (global.set $requests (i32.add (global.get $requests) (i32.const 1)))
    (if (i32.eqz (i32.rem_u (global.get $requests) (i32.const 4)))
      (then (drop (call $render_page))))
    (call $keep_in_cache))

  (func $serve_for (param $seconds i32)
    (local $end i64)
    (local.set $end
      (i64.add (call $now) (i64.mul (i64.extend_i32_u (local.get $seconds)) (i64.const 1000000000))))
    (loop $again
      (call $wait_for_request)
      (call $handle_request)
      (br_if $again (i64.lt_u (call $now) (local.get $end)))))

  ;; The bad loop. It asks the clock only every 1000 times, so that the retries are what is seen.
  (func $reload_prices (param $seconds i32)
    (local $end i64) (local $left i32)
    (local.set $end
      (i64.add (call $now) (i64.mul (i64.extend_i32_u (local.get $seconds)) (i64.const 1000000000))))
    (loop $again
      (local.set $left (i32.const 1000))
      (loop $retry
        (if (call $fetch_price) (then (return)))
        (br_if $retry (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (br_if $again (i64.lt_u (call $now) (local.get $end)))))

  (func (export "serve") (param $delay i32) (param $loop i32)
    (call $serve_for (local.get $delay))
    (call $say (i32.const 192))
    (call $reload_prices (local.get $loop))
    (call $say (i32.const 224))
    (loop $for_ever
      (call $serve_for (i32.const 3600))
      (br $for_ever)))

  (func $parse_order (result i32)
    (i32.load (i32.const -4)))

  (func (export "crash")
    (drop (call $parse_order))))
