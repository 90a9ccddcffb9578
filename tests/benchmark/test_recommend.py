"""Recommendations: the order, what it costs, what is said of how far to trust it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark import cli
from benchmark.recommendation import ranked
from leaderboard.records import Record, path_for, write
from measures import SimilarityMatrix
from measures.overlap import Overlap

FAMILIES = [{f"q{family}{member}" for member in "abc"} for family in "abcd"]
NAMES = ["recommend", "--task", "cldr-names", "--device", "cpu", "--cache", "cache", "--jobs", "1"]
FEW = ["--languages", "deu,nld,swe,fra", "--max-train", "24", "--max-eval", "40", "--epochs", "1"]
Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """A command in an empty folder; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KINSHIP_DATA", raising=False)

    def tell(*arguments: str) -> tuple[int, str, str]:
        code = cli.command(arguments)
        found = capsys.readouterr()
        return code, found.out, found.err

    return tell


def found(told: Told, *arguments: str) -> dict[str, Any]:
    code, out, err = told(*arguments, "--json")
    assert code == 0, err
    loaded: dict[str, Any] = json.loads(out)
    return loaded


def order(target: dict[str, Any]) -> list[str]:
    return [one["source"] for one in target["ranking"]]


def trainings() -> list[str]:
    """The languages of each training in the cache."""
    manifests = [json.loads(path.read_text("utf8")) for path in Path("cache/objects").glob("*/manifest.json")]
    return sorted(
        "+".join(code for code, _ in one["job"]["data"]) for one in manifests if one["kind"] == "training"
    )


def scored() -> int:
    return len(list(Path("cache/objects").glob("*.predictions.*")))


def test_the_targets_own_family_comes_first(told: Told) -> None:
    """All targets at once, planted families, by a measure that needs no training."""
    codes = sorted(code for family in FAMILIES for code in family)
    said = found(
        told, "recommend", "-t", "planted", "--target", ",".join(codes), "-m", "overlap", "--cache", "cache"
    )
    assert [one["target"] for one in said["targets"]] == codes
    for one in said["targets"]:
        (family,) = (each for each in FAMILIES if one["target"] in each)
        assert {*order(one)[:2], one["target"]} == family
        assert [each["rank"] for each in one["ranking"][2:]] == [3] * 9  # no word is shared: a tie
        assert order(one)[2:] == sorted(order(one)[2:])
        assert set(one["group"]) == family
        assert [each["in_group"] for each in one["ranking"]] == [True, True] + [False] * 9
    grouping = said["measures"][0]["grouping"]
    assert {frozenset(group) for group in grouping["groups"]} == set(map(frozenset, FAMILIES))
    assert grouping["k"] == 4
    assert all(code in grouping["groups"][place] for code, place in grouping["served"].items())
    assert set(grouping["served"]) == set(codes)
    assert said["source"] == "embedded"
    assert said["versions"]["numpy"] == np.__version__
    assert trainings() == []
    assert not Path("results").exists()


def test_gradients_need_the_joint_training_and_no_other(told: Told) -> None:
    arguments = ["recommend", "-t", "planted", "--target", "qaa,qbb", "-m", "gradsim[blocks=embeddings]"]
    arguments += ["--languages", "qaa,qab,qac,qba,qbb,qbc", "--max-train", "60", "--max-eval", "60"]
    arguments += ["--epochs", "2", "--probe-share", "2", "--jobs", "1", "--cache", "cache", "--device", "cpu"]
    said = found(told, *arguments)
    assert set(order(said["targets"][0])[:2]) == {"qab", "qac"}
    assert set(order(said["targets"][1])[:2]) == {"qba", "qbc"}
    assert trainings() == ["qaa+qab+qac+qba+qbb+qbc"]
    assert scored() == 0
    code, out, err = told(*arguments)  # from the cache, for a person
    assert code == 0
    assert "0 trainings to do, 1 cached" in err
    assert out.index("qab ") < out.index("qba ")
    assert "groups by gradsim[blocks=embeddings] (K = 2): qaa qab qac | qba qbb qbc" in out


def test_transfer_is_trained_only_for_what_looks_at_it(told: Told) -> None:
    said = found(told, *NAMES, *FEW, "--target", "fra", "-m", "oracle")
    assert trainings() == ["deu", "fra", "nld", "swe"]
    assert scored() > 0
    column = [row[3] for row in said["measures"][0]["similarity"]]
    assert [one["similarity"]["oracle"] for one in said["targets"][0]["ranking"]] == sorted(
        column[:3], reverse=True
    )


def test_another_encoder_needs_no_training(told: Told, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.training import embeddings

    def vectors(folder: Path, texts: dict[str, list[str]], device: str) -> Any:
        numbers = {
            code: np.random.default_rng(list(code.encode())).normal(size=(len(rows), 4))
            for code, rows in texts.items()
        }
        return numbers, {"encoder": "somebody's", "width": 4}

    monkeypatch.setattr(embeddings, "sentence_transformer_vectors", vectors)
    found(told, *NAMES, *FEW, "--target", "fra", "-m", f"embedding[model={tiny_folder}]")
    assert trainings() == []


def patched(monkeypatch: pytest.MonkeyPatch, matrix: list[list[float]], coverage: Any = None) -> None:
    """``overlap`` says this."""
    monkeypatch.setattr(Overlap, "symmetric", False)
    monkeypatch.setattr(
        Overlap,
        "similarity",
        lambda self, evidence: SimilarityMatrix(evidence.languages, np.array(matrix, float), coverage),
    )


def test_by_the_targets_column_ties_together_and_unknown_last(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    nan = math.nan
    matrix = [[1, 9, 0.5, 0.1], [9, 1, nan, 0.2], [9, 9, 1, 9], [9, 9, 0.5 + 1e-15, 1]]
    patched(monkeypatch, matrix, np.full((4, 4), 0.25))
    code, out, err = told(*NAMES, *FEW, "--target", "swe,fra", "-m", "overlap")
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    table = [line for line in lines if len(line) > 5 and line[1] in ("deu", "nld", "swe", "fra")]
    assert [line[:5] for line in table] == [
        ["1", "deu", "German", "0.5", "25%"],
        ["1", "fra", "French", "0.5", "25%"],
        ["–", "nld", "Dutch", "unknown", "25%"],
        ["1", "swe", "Swedish", "9", "25%"],
        ["2", "nld", "Dutch", "0.2", "25%"],
        ["3", "deu", "German", "0.1", "25%"],
    ]
    assert "overlap says nothing about 1 of 3 sources: no rank." in out
    said = found(told, *NAMES, *FEW, "--target", "swe", "-m", "overlap")
    assert [one["rank"] for one in said["targets"][0]["ranking"]] == [1, 1, None]
    assert said["targets"][0]["ranking"][2]["similarity"] == {"overlap": None}
    assert said["targets"][0]["ranking"][0]["coverage"] == {"overlap": 0.25}


@given(st.lists(st.none() | st.integers(-5, 5).map(lambda n: n * 0.25), max_size=9))
def test_ranks_are_one_more_than_those_above(values: list[float | None]) -> None:
    for value, rank in zip(values, ranked(values), strict=True):
        if value is None:
            assert rank is None
        else:
            assert rank == 1 + len([other for other in values if other is not None and other > value])


def test_several_measures_and_the_first_ranks(told: Told) -> None:
    both = ["-m", "overlap[unit=chars]", "-m", "same-script"]
    said = found(told, *NAMES, *FEW, "--target", "nl", *both)
    ranking = said["targets"][0]["ranking"]
    assert [one["measure"] for one in said["measures"]] == ["overlap[unit=chars]", "same-script"]
    assert [one["similarity"]["same-script"] for one in ranking] == [1.0] * 3
    said_same = found(told, *NAMES, *FEW, "--target", "nl", "-m", "same-script")
    assert order(said_same["targets"][0]) == ["deu", "fra", "swe"]  # by code, as nothing tells them apart
    by = [one["similarity"]["overlap[unit=chars]"] for one in ranking]
    assert by == sorted(by, reverse=True)
    assert said["measures"][1]["grouping"] is None  # nothing stands out
    out = told(*NAMES, *FEW, "--target", "nld", *both)[1]
    assert "sources for nld (Dutch), by overlap[unit=chars]" in out
    assert "same-script" in out.split("sources for")[1].splitlines()[2]
    assert "groups by same-script: none" in out


def test_seeds_are_averaged(told: Told) -> None:
    def column(*seeds: str) -> dict[str, float]:
        said = found(told, *NAMES, *FEW, "--target", "deu", "-m", "random", *seeds)
        return {one["source"]: one["similarity"]["random"] for one in said["targets"][0]["ranking"]}

    one, other, mean = column("--seed", "3"), column("--seed", "4"), column("--seeds", "3,4")
    assert one != other
    assert mean == pytest.approx({code: (one[code] + other[code]) / 2 for code in one})


def test_a_cover_serves_the_target_by_one_group(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, [[1, 0.9, 0.8, 0], [0.9, 1, 0, 0], [0.8, 0, 1, 0.9], [0, 0, 0.9, 1]])
    arguments = [*NAMES, *FEW, "--target", "deu", "-m", "overlap", "--grouping", "cover", "--groups", "2"]
    said = found(told, *arguments)
    grouping = said["measures"][0]["grouping"]
    assert said["targets"][0]["group"] == grouping["groups"][grouping["served"]["deu"]]
    assert "deu" in said["targets"][0]["group"]


def test_a_target_outside_the_default_languages_is_added(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.cldr_names import CldrNames
    from tasks.languages import language

    few = tuple(language(code) for code in ("deu", "fra", "swe"))
    monkeypatch.setattr(CldrNames, "default_languages", lambda self: few)
    said = found(told, *NAMES, "--target", "et,deu", "-m", "overlap", "--max-train", "24")
    assert [one["target"] for one in said["targets"]] == ["est", "deu"]
    assert list(said["languages"]) == ["deu", "fra", "swe", "est"]
    assert "est" in order(said["targets"][1])
    said = found(told, *NAMES, *FEW, "--target", "est", "-m", "overlap")
    assert list(said["languages"]) == ["deu", "nld", "swe", "fra", "est"]


def lay_out(*codes: str) -> None:
    for code in codes:
        folder = Path("data/afrisenti", code)
        folder.mkdir(parents=True)
        for split in ("train", "dev", "test"):
            (folder / f"{split}.tsv").write_text("tweet\tlabel\n" + f"{code} {split}\tpositive\n" * 4)


def test_of_the_default_languages_those_that_the_data_has(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.afrisenti import AfriSenti
    from tasks.languages import language

    monkeypatch.setattr(AfriSenti, "default_languages", lambda self: tuple(map(language, ["hau", "kin", "yor"])))
    lay_out("hau", "ibo", "yor", "swa")
    arguments = ["recommend", "-t", "afrisenti", "--target", "swh", "-m", "overlap", "--data", "data"]
    said = found(told, *arguments, "--cache", "cache")
    assert list(said["languages"]) == ["hau", "yor", "swa"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "klingon"], ["cldr-names: unknown language 'klingon'"]),
        (["--target", "german1"], ["unknown language 'german1'", "did you mean", "deu (German)"]),
        (["--target", ","], ["--target takes", "','"]),
        (["--target", "deu", "--languages", "deu,nld"], ["at least 3 languages", "found 2"]),
        (["--target", "deu", "-m", "gradsm"], ["unknown measure 'gradsm'", "did you mean 'gradsim'"]),
        (["--target", "deu", "--groups", "many"], ["--groups takes a whole number", "'many'"]),
        ([], ["Missing option", "--target"]),
    ],
)
def test_mistakes_are_one_line(told: Told, arguments: list[str], said: list[str]) -> None:
    code, out, err = told(*NAMES, *arguments)
    assert (code, out) == (2, "")
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    for part in said:
        assert part in line
    assert not Path("cache").exists()


def test_a_target_that_the_data_lacks(told: Told) -> None:
    lay_out("hau", "ibo", "yor")
    code, out, err = told("recommend", "-t", "afrisenti", "--target", "swh", "-m", "overlap", "--data", "data")
    assert (code, out) == (2, "")
    assert "--target takes a language that the data (folder) has, hau, ibo, yor, found swa" in err


# How far to trust it.


def record(measure: str = "overlap", task: str = "cldr-names", protocol: str = "p1", **changes: Any) -> Record:
    codes = changes.pop("languages", ["deu", "nld", "swe"])
    n = len(codes)
    transfer = [[round(0.1 + 0.1 * s + 0.01 * t, 2) for t in range(n)] for s in range(n)]
    data = {
        "task": task,
        "measure": measure,
        "measure_params": {},
        "access": "text",
        "strategy": "plain",
        "languages": codes,
        "groups": None,
        "objective": None,
        "similarity": {"matrix": transfer, "symmetric": False},
        "transfer": {
            "metric": "macro_f1",
            "dev": transfer,
            "test": transfer,
            "seeds": [{"seed": 5, "dev": transfer, "test": transfer}],
        },
        "scores": {},
        "intervals": {},
        "correlation": {
            "per_target_spearman": 0.41,
            "per_target_spearman_ci95": (0.1, 0.5),
            "centred_per_target_spearman": 0.32,
            "centred_per_target_spearman_ci95": (0.12, 0.55),
            "spearman": 0.5,
            "pearson": 0.45,
            "qap_p": 0.0005,
            "ndcg_at_3": 0.61,
            "regret_at_1": 0.034,
            "noise_ceiling": None,
        },
        "data": {"source": "embedded", "fingerprint": "00", "train_size": {}, "test_size": {}},
        "protocol_id": protocol,
        "protocol": {"model": "some/encoder", "protocol": protocol},
        "cost": {"trainings": 1, "seconds": 1.0, "peak_memory_mb": 1.0},
        "provenance": {
            "command": "c",
            "versions": {},
            "device": "cpu",
            "threads": 1,
            "precision": "fp32",
            "git": None,
            "started": "2026-01-01T00:00:00Z",
        },
    }
    return Record.model_validate(data | changes)


def put(*records: Record) -> list[str]:
    paths = [Path("results") / path_for(one) for one in records]
    for one, path in zip(records, paths, strict=True):
        write(one, path)
    return [str(path) for path in paths]


def test_without_a_record_the_command_that_would_make_one(told: Told) -> None:
    sample = {"source": "sample", "fingerprint": "00", "train_size": {}, "test_size": {}}
    put(
        record(task="afrisenti"),
        record("same-script", languages=["ita", "ron"]),
        record(protocol="p2", data=sample),
    )
    out = told(*NAMES, *FEW, "--target", "deu", "-m", "overlap")[1]
    assert "no record in results/ says how well overlap foretells transfer on cldr-names: run " in out
    assert "transfer:" not in out
    arguments = [*NAMES, *FEW, "--target", "deu", "-m", "overlap[unit=chars]"]
    out = told(*arguments)[1]
    assert "no record in results/ says how well overlap[unit=chars] foretells transfer on cldr-names: run " in out
    command = out.split(": run ")[1].splitlines()[0]
    assert command == (
        "python -m benchmark run --measure 'overlap[unit=chars]' --task cldr-names --languages deu,nld,swe,fra "
        "--max-train 24 --max-eval 40 --epochs 1 --device cpu --jobs 1 --cache cache --no-groups"
    )
    assert found(told, *arguments)["measures"][0]["trust"] == []


def test_what_records_say(told: Told) -> None:
    vague = {"centred_per_target_spearman_ci95": (-0.1, 0.5)}
    other = record(protocol="p2", languages=["deu", "nld"])
    other = other.model_copy(update={"correlation": other.correlation.model_copy(update=vague)})  # type: ignore[union-attr]
    first, second, _ = put(
        record(), other, record("random", protocol="p3", languages=["deu", "ita", "ron", "por"])
    )
    arguments = [*NAMES, *FEW, "--target", "swe", "-m", "overlap"]
    code, out, _ = told(*arguments)
    assert code == 0
    trust = out.split("how far to trust it:\n")[1].splitlines()
    assert len(trust) == 2
    assert "centred rank correlation per target of 0.32 [0.12, 0.55] (3 languages, model some/encoder" in trust[0]
    assert first in trust[0]
    assert "[-0.10, 0.50]; its interval includes 0" in trust[1]
    assert second in trust[1]
    assert "no record" not in out
    said = found(told, *arguments)
    assert [one["record"] for one in said["measures"][0]["trust"]] == [first, second]
    assert said["measures"][0]["trust"][0]["centred_per_target_spearman"] == 0.32
    # Transfer: of deu and nld to swe, from the record that has them; fra is in none.
    assert {one["source"]: one["transfer"] for one in said["targets"][0]["ranking"]} == {
        "deu": 0.12,
        "nld": 0.22,
        "fra": None,
    }
    assert said["targets"][0]["own_transfer"] == 0.32
    assert said["transfer_from"]["record"] == first
    assert [line.split()[-1] for line in out.splitlines() if " German " in line] == ["12.0"]
    assert [line.split()[-1] for line in out.splitlines() if " French " in line] == ["–"]
    assert f"; {first})" in out.split("groups by")[0]
    (fuller,) = put(record("random", protocol="p4", languages=["fra", "deu", "nld", "swe"]))  # knows all pairs
    said = found(told, *arguments)
    assert said["transfer_from"]["record"] == fuller
    assert {one["source"]: one["transfer"] for one in said["targets"][0]["ranking"]} == {
        "fra": 0.13,
        "deu": 0.23,
        "nld": 0.33,
    }


def test_after_a_run_transfer_is_its_own(told: Told) -> None:
    few = [*FEW, "--cache", "cache", "--device", "cpu", "--jobs", "1"]
    code, _, err = told("run", "-t", "cldr-names", "-m", "overlap", "--no-groups", *few)
    assert code == 0, err
    before = trainings()
    said = found(told, *NAMES, *FEW, "--target", "nld", "-m", "overlap")
    assert trainings() == before
    (path,) = Path("results").glob("*/*/overlap-*.json")
    made = json.loads(path.read_text("utf8"))
    assert said["transfer_from"]["record"] == str(path)
    assert said["transfer_from"]["same_data_and_model"] is True
    assert said["data_fingerprint"] == made["data"]["fingerprint"]
    assert said["measures"][0]["similarity"] == made["similarity"]["matrix"]
    assert {one["source"]: one["transfer"] for one in said["targets"][0]["ranking"]} == {
        code: made["transfer"]["test"][place][1] for place, code in enumerate(made["languages"]) if code != "nld"
    }
    assert "the very data and model" in told(*NAMES, *FEW, "--target", "nld", "-m", "overlap")[1]


@pytest.mark.usefixtures("clean_environment")
def test_a_sample_recommends_nothing_and_says_so(told: Told) -> None:
    put(record(task="afrisenti", languages=["hau", "swa", "yor"]))
    arguments = [
        "recommend",
        "-t",
        "afrisenti",
        "--target",
        "swh",
        "-m",
        "overlap",
        "--cache",
        "cache",
        "--offline",
    ]
    code, out, err = told(*arguments)
    assert code == 0
    assert "SAMPLE: this is no recommendation. A sample recommends nothing" in out
    assert "SAMPLE: this is no recommendation. A sample recommends nothing" in err
    assert "For the corpus: --data DIR" in err
    assert "transfer" not in out.split("sources for")[1]
    assert "how far to trust it" not in out
    said = found(told, *arguments)
    assert said["sample"] is True
    assert said["source"] == "sample"
    assert said["transfer_from"] is None
