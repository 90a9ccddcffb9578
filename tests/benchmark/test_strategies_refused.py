"""What may be wrong with strategies, and with languages kept out, as a person meets it: one line, exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark import prepare as preparing
from benchmark.cli import command
from benchmark.config import RunConfig
from benchmark.registry import create
from benchmark.setup import Setup
from benchmark.store import Store
from benchmark.training import rehearsal
from tasks.languages import language

FEW = ["run", "-m", "overlap", "-t", "cldr-names", "--epochs", "1", "--max-train", "24", "--max-eval", "24"]
LANGUAGES = ["--languages", "deu,nld,swe"]
T5 = {
    "model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2, "vocab_size": 300
}  # fmt: skip
FNET = {
    "model_type": "fnet",
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 16,
    "vocab_size": 300,
}
BERT = {
    "model_type": "bert", "num_hidden_layers": 9, "hidden_size": 16, "num_attention_heads": 2,
    "vocab_size": 30_000, "intermediate_size": 16, "pad_token_id": 29_999,
}  # fmt: skip


def model(folder: Path, config: dict[str, object]) -> Path:
    """A model folder as far as it is read before anything is trained."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"none")
    return folder


def refused(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("KINSHIP_CACHE", str(tmp_path / "cache"))
        assert command([*FEW, *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "cache").exists()
    return told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--strategy", "gradvac[beta=1.5]"], "gradvac[beta=…] takes a number from 0 to 1, found 1.5"),
        (["--strategy", "gradvac[beta=-0.1]"], "gradvac[beta=…] takes a number from 0 to 1, found -0.1"),
        (["--strategy", "gradvac[beta=nan]"], "gradvac[beta=…] takes a number, found 'nan'"),
        (["--strategy", "pcgrad[granularity=head]"], "takes model|layer|matrix, found 'head'"),
        (["--strategy", "subnet-static[tolerance=1.2]"], "tolerance must be above 0 and at most 1, found 1.2"),
        (["--strategy", "subnet-random[tolerance=0]"], "tolerance must be above 0 and at most 1, found 0"),
        (["--strategy", "subnet-dynamic[keep=0]"], "keep must be above 0 and at most 1, found 0"),
        (["--strategy", "subnet-dynamic[every=0]"], "every must be at least 1, found 0"),
        (["--strategy", "meta[inner_lr=0]"], "inner_lr must be above 0 and finite, found 0"),
        (["--strategy", "meta[algorithm=reptile,inner_steps=0]"], "inner_steps of reptile must be at least 1, f"),
        (["--strategy", "gradvak"], "unknown strategy 'gradvak' (did you mean 'gradvac' or 'pcgrad'?); known: "),
        (["--strategy", "overlap"], "unknown strategy 'overlap'"),
        (["--strategy", ""], "a name is written name or name[key=value,key=value], found ''"),
        (["--strategy", "gradvac[gamma=1]"], "'gradvac' has no parameter 'gamma'; its parameters: beta, g"),
        (["--strategy", "pcgrad", "--strategy", "pcgrad"], "takes different strategies, found pcgrad twice"),
        (
            ["--strategy", "gradvac", "--strategy", "gradvac[beta=1e-2]"],
            "found gradvac and gradvac[beta=1e-2], which are the same",
        ),
        (["--unseen", "dan,swe"], "--unseen takes languages that are not trained on, found swe among --lang"),
        (["--unseen", "xyz"], "--unseen: cldr-names: "),
        (["--unseen", "dan", "--shots", "0"], "different whole numbers from 1 in rising order, as 16,64,256"),
        (["--unseen", "dan", "--shots", "many"], "--shots takes whole numbers separated by commas"),
        (["--shots", "16"], "--shots takes examples of the languages of --unseen, found 16 and no --unseen"),
    ],
)  # fmt: skip
def test_it_is_told_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused([*LANGUAGES, *arguments], tmp_path, capsys)


def test_one_language_is_none_to_train_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(["--languages", "deu", "--strategy", "gradvac"], tmp_path, capsys)
    assert "at least 3 languages with training data are needed, found 1: deu" in told


@pytest.mark.parametrize(
    ("strategy", "config", "said"),
    [
        ("subnet-static", FNET, "heads and feed-forward units are known of bert, camembert, "),
        ("subnet-dynamic", FNET, "found fnet"),
        ("subnet-random", T5, "found t5"),
        ("meta[masks=dynamic]", FNET, "found fnet"),
        ("gradvac", T5, "are known of plain linear maps, embeddings and layer norms, found encoder."),
        ("meta", T5, "linear maps, embeddings and layer norms can be adapted, found encoder."),
    ],
)
def test_a_model_that_it_cannot_train(
    strategy: str, config: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = model(tmp_path / "model", config)
    told = refused([*LANGUAGES, "--strategy", strategy, "--model", str(folder)], tmp_path, capsys)
    assert told.startswith(f"error: {strategy}: ")
    assert said in told


def test_what_can_begin_is_not_refused(tmp_path: Path) -> None:
    """On any number of layers and words, and without a word on what transformers cannot make."""
    languages = [language("deu"), language("nld")]
    folder = model(tmp_path / "model", BERT)
    for spec in ("plain", "gradvac", "meta", "subnet-dynamic"):
        assert rehearsal.unsuitable(create("strategies", spec)[0], folder, languages) is None
    nowhere = model(tmp_path / "another", {"model_type": "nobody-knows"})
    assert rehearsal.unsuitable(create("strategies", "gradvac")[0], nowhere, languages) is None


def test_it_is_asked_only_of_what_has_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def unsuitable(strategy: object, folder: Path, languages: object) -> None:
        asked.append(type(strategy).__name__)

    monkeypatch.setattr(rehearsal, "unsuitable", unsuitable)

    def prepared(name: str | None) -> Setup:
        asked.clear()
        return preparing.prepare(
            RunConfig(
                (), "cldr-names", ("deu", "nld", "swe"), model=name, seeds=(0,), max_train=24, max_eval=24,
                device="cpu", cache=tmp_path / "cache", strategies=("gradvac", "meta", "subnet-static"),
            )
        )  # fmt: skip

    prepared(None)
    assert asked == []
    setup = prepared(str(model(tmp_path / "model", BERT)))
    assert asked == ["GradVac", "Meta"]
    job = setup.joint(setup.seeds[0], strategy=setup.others[0])
    Store.at(setup.store.root).put(
        job.key, lambda folder: (folder / "history.json").write_text("{}"), {"kind": "training"}
    )
    prepared(str(tmp_path / "model"))
    assert asked == ["Meta"]
