"""Attack a running studio: as other sites, for paths outside, by 200 connections that hardly send; write what it did.

    python scripts/studio_attack.py --out=results/reliability_studio.json

Needs `pip install 'gst_jax[studio]'`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

import attacks
import command
import trials
from absl import flags

_OUT = flags.DEFINE_string("out", "results/reliability_studio.json", "where the figures go")


def main() -> None:
    """Start a studio, attack it, write."""
    with tempfile.TemporaryDirectory() as folder, attacks.studio(folder) as host:
        rows = attacks.refusals(host)
        took = {"no other connection": attacks.waits(host)}
        for what, start in attacks.HELD.items():
            with attacks.held(host, start):
                took[f"{attacks.CONNECTIONS} that sent {what}"] = attacks.waits(host)
        rows += [
            {
                "what": f"the page, beside {what}",
                "tried": len(found),
                "held": sum(one < 2 for one in found),
                "note": "",
            }
            for what, found in took.items()
        ]
        left = list(Path(folder).rglob("*"))
    figures = [
        trials.figure(f"answer of the page beside {what}, median", statistics.median(found), "s")
        for what, found in took.items()
    ]
    figures.append(trials.figure("files that were written by all that", len(left), ""))
    trials.write(_OUT.value, "studio", rows, figures)
    print(json.dumps(rows + figures, indent=1))


if __name__ == "__main__":
    command.run(main)
