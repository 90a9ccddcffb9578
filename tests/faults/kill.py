"""Kill a small run at random moments until it is done: ``python tests/faults/kill.py [--kills N] [--seed S]``.

Real runs with two workers. At a random moment the whole process group, the run alone, or one worker gets SIGKILL,
or the group SIGINT; what was killed is started again, until it finishes. Then everything is compared, bit for bit,
with a run that nobody disturbed, nothing may be left over, and no training that was done may have been made anew.
Then from the beginning, until there have been N kills. Linux alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import small

INTERRUPTED = 130
WHO = ("group", "run", "worker", "ctrl-c")


def started(where: Path) -> subprocess.Popen[bytes]:
    """The small run as a person starts it, in a process group of its own."""
    where.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KINSHIP_")}
    with (where / "stdout.txt").open("wb") as out, (where / "stderr.txt").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmark", *small.RUN, "--jobs", "2"],
            cwd=where,
            env=environment | {"OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_hears_ctrl_c,
        )


def _hears_ctrl_c() -> None:
    """Which a shell takes from what it runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def members(group: int) -> dict[int, int]:
    """Processes of a group that live, and their parents."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                state, parent, of = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
                if int(of) == group and state != "Z":
                    found[int(entry.name)] = int(parent)
    return found


def workers(group: int) -> list[int]:
    """Those that trainings run in: neither the run itself nor what it has started directly."""
    return [pid for pid, parent in members(group).items() if pid != group and parent not in (group, 1)]


def gone(group: int, seconds: float = 30.0) -> bool:
    """Whether nobody of a group is left, soon."""
    until = time.monotonic() + seconds
    while members(group):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def killed(run: subprocess.Popen[bytes], who: str, source: random.Random) -> str | None:
    """Kill; whom, if there was anybody."""
    if who == "worker":
        delay = source.uniform(0, 0.5)
        while run.poll() is None and not workers(run.pid):
            time.sleep(0.01)
        time.sleep(delay)
        found = workers(run.pid)
        if not found:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(source.choice(found), signal.SIGKILL)
        return who
    if who == "run":
        run.kill()
    else:
        os.killpg(run.pid, signal.SIGINT if who == "ctrl-c" else signal.SIGKILL)
    return who


def until_done(
    where: Path, seconds: float, source: random.Random, kills: Counter[str], victims: list[str]
) -> list[str]:
    """Run, kill, run again, until a run is done; what is wrong, a line each. ``seconds``: what a run takes."""
    wrong: list[str] = []
    done: dict[str, tuple[int, int]] = {}
    while True:
        run = started(where)
        # Later runs have less to do: half of the kills fall where the first third of a run is.
        moment = source.uniform(0, seconds * source.choice((0.35, 1.0)))
        who = source.choice(victims)
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = run.wait(moment)
        if code is None:
            leaving = "records under" in small.told(where)  # its last line: from here on it need not hear Ctrl-C
            whom = killed(run, who, source)
            kills[whom or "nobody"] += 1
            ended = run.wait()
            if whom in ("worker", None) or (whom == "ctrl-c" and leaving and ended == 0):
                code = ended  # a run outlives its workers
            elif whom == "ctrl-c" and ended != INTERRUPTED:
                wrong.append(f"Ctrl-C: it ended with {ended}, {small.told(where)}")
        if not gone(run.pid):
            wrong.append(f"processes of a run that is over live on: {members(run.pid)}")
            os.killpg(run.pid, signal.SIGKILL)
        now = small.trainings(where)
        wrong += [f"trained again: {key}" for key, made in done.items() if now.get(key) != made]
        done = now
        wrong += [f"torn: {name}" for name in small.torn(where)]
        said = small.told(where)
        if "Traceback" in said:
            wrong.append(f"a traceback: {said}")
        if code is not None:
            return wrong if code == 0 else [*wrong, f"the run ended with {code}: {said}"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--who", choices=WHO, action="append", help="whom to kill; all of them, if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default=None, help="where to do it; in memory is fast")
    given = parser.parse_args(arguments)
    source, kills, failed, rounds = random.Random(given.seed), Counter[str](), 0, 0
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        undisturbed, where = Path(folder) / "undisturbed", Path(folder) / "killed"
        while sum(kills[who] for who in WHO) < given.kills:
            if rounds % 10 == 0:  # the machine may have become faster or slower
                shutil.rmtree(undisturbed, ignore_errors=True)
                begun = time.monotonic()
                if started(undisturbed).wait() != 0:
                    print(small.told(undisturbed))
                    return 1
                seconds = time.monotonic() - begun
                print(f"undisturbed: {seconds:.1f} s, {len(small.trainings(undisturbed))} trainings", flush=True)
            rounds += 1
            wrong = until_done(where, seconds, source, kills, given.who or list(WHO))
            wrong += [f"differs: {line}" for line in small.differences(undisturbed, where)]
            wrong += [f"left: {name}" for name in small.left(where)]
            failed += bool(wrong)
            for line in wrong:
                print(f"round {rounds}: {line}", flush=True)
            print(f"round {rounds}: done after {dict(kills)} kills so far", flush=True)
            shutil.rmtree(where)
    print(f"{dict(kills)} kills in {rounds} rounds, {failed} with something wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
