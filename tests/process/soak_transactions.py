# SPDX-License-Identifier: Apache-2.0
"""Exactly-once copying over many failures of a cluster: `make soak`. TXN_ROUNDS says how many (60)."""
import os
import pathlib
import subprocess
import sys

test = pathlib.Path(__file__).with_name("test_transactions.py")
sys.exit(subprocess.run([sys.executable, test], env={"TXN_ROUNDS": "60", **os.environ}).returncode)
