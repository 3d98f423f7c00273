"""One file for each kind of section that the rewriter reads or adds to; all others are copied as they are.

Spec: binary/modules.html#sections
"""
