# Run by CPython: modules of the standard library, and a file written under /work.
import collections
import csv
import hashlib
import io
import json
import re
import sys

text = " ".join(f"word{n % 97} {n * n}" for n in range(20000))
counts = collections.Counter(re.findall(r"word\d+", text))
table = io.StringIO()
writer = csv.writer(table)
writer.writerows(counts.most_common(10))
digest = hashlib.sha256(text.encode()).hexdigest()
with open("/work/report.json", "w") as file:
    json.dump({"digest": digest, "words": len(counts), "argv": sys.argv[1:]}, file)
print("words", len(counts), "rows", table.getvalue().count("\n"), "digest", digest)
print("python", sys.version_info.major, sys.platform)
sys.exit(3)
