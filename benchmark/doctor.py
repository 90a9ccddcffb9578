"""``doctor``: what a run would find on this machine, and what of it a person must mend."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from benchmark import options

MARKS = {True: "✓", None: "–", False: "✗"}


def doctor(
    cache: options.Cache = None,
    offline: Annotated[bool, typer.Option("--offline", help="Try no network.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON on stdout, nothing else.")
    ] = False,
) -> int:
    """Look at this machine as a run will: versions, device, memory, disk, cache, data, network, plugins.

    A line each: ✓ as it should be, – worth knowing, ✗ to be mended. Exit code 1 where something is to be mended.

    \b
    Examples:
      python -m benchmark doctor
      python -m benchmark doctor --offline --json
    """
    from benchmark.diagnosis import diagnose

    broken = 0
    told = []
    for finding in diagnose(options.cache_of(cache), offline):
        broken += finding.ok is False
        if as_json:
            told.append(
                {"name": finding.name, "ok": finding.ok is not False, "said": finding.said} | finding.facts
            )
        else:
            print(f"{MARKS[finding.ok]} {finding.name:<10}  {finding.said}", flush=True)
    if as_json:
        print(json.dumps(told, ensure_ascii=False, indent=1))
    return 1 if broken else 0
