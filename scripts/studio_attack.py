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
from absl import flags

from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text

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
        {
            "what": f"answer of the page beside {what}, median",
            "value": round(statistics.median(found), 3),
            "unit": "s",
        }
        for what, found in took.items()
    ]
    figures.append({"what": "files that were written by all that", "value": len(left), "unit": ""})
    found = {
        "how": "python scripts/studio_attack.py --out=results/reliability_studio.json",
        "provenance": provenance.collect(),
        "rows": rows,
        "figures": figures,
    }
    write_text(_OUT.value, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["rows"] + figures, indent=1))


if __name__ == "__main__":
    command.run(main)
