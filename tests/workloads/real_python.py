# SPDX-License-Identifier: BSD-2-Clause
"""Keeps the Python interpreter busy: real_python.py [SECONDS]"""
import json
import sys
import time

end = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 3600)
rows = [{"id": i, "name": f"n{i * 7919}"} for i in range(2000)]
print("ready", flush=True)
while time.monotonic() < end:
    text = json.dumps(rows)
    sorted(json.loads(text), key=lambda row: row["name"])
