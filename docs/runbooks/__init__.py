"""A package so that an installed wasmtrace carries these pages: `wasmtrace dashboards export` writes them."""
