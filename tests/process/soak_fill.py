# SPDX-License-Identifier: Apache-2.0
"""A broker that is filled holds no more memory than it is allowed to, however much is stored: `make soak`."""
import json
import os
import subprocess
import sys
import tempfile

MIB = int(os.environ.get("SENTINEL_FILL_MIB", "2048"))  # the acceptance run has 20480
BUDGET_MIB = 128

with tempfile.TemporaryDirectory(dir=os.environ.get("SENTINEL_FILL_DIR")) as parent:
    done = subprocess.run([os.environ["SENTINEL"], "bench", "broker", "--no-peers", "--json", "--mib", str(MIB),
                           "--dir", parent, "--cases", "fill"], stdout=subprocess.PIPE, check=True)
rows = {row["name"]: row["values"]["sentinel"] for row in json.loads(done.stdout)["rows"]}
peak = rows["fill: peak resident"]
print(f"{MIB} MiB filled at {rows['fill']:.0f} thousand records a second, peak resident {peak:.1f} MiB")
sys.exit(0 if 0 < peak < BUDGET_MIB else "more memory than the budget of %d MiB" % BUDGET_MIB)
