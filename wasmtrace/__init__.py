"""wasmtrace shows what happens inside any WebAssembly program, without a log line from its developer."""
