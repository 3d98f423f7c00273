"""The version of this package, looked up once, without importing package metadata at start."""

VERSION = "0.1.0"
