"""Names of the WASI preview 1 results. Spec: wasi_snapshot_preview1.witx, `errno`."""

from __future__ import annotations

from wasmtrace.layout import ERRNO_COUNT

_WORDS = """
    success 2big acces addrinuse addrnotavail afnosupport again already badf badmsg busy canceled child
    connaborted connrefused connreset deadlk destaddrreq dom dquot exist fault fbig hostunreach idrm ilseq
    inprogress intr inval io isconn isdir loop mfile mlink msgsize multihop nametoolong netdown netreset
    netunreach nfile nobufs nodev noent noexec nolck nolink nomem nomsg noprotoopt nospc nosys notconn notdir
    notempty notrecoverable notsock notsup notty nxio overflow ownerdead perm pipe proto protonosupport
    prototype range rofs spipe srch stale timedout txtbsy xdev notcapable other
"""
ERRNO_NAMES = tuple(_WORDS.split())
"""By errno; the last stands for every value that the specification does not name."""

assert len(ERRNO_NAMES) == ERRNO_COUNT
