"""The specification's own tests, plain and instrumented; and an oracle for the counts."""
