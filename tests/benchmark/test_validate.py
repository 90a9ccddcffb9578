"""``validate``: everything that is wrong, with file, line and rule; then what to know, with the right counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.cli import command
from benchmark.data_report import Report, check_folder
from benchmark.validate import printed, validate

TEXT = "name: mine\nkind: text\nlabels: [good, bad, so-so]\nmetric: macro_f1\n"
TAGGED = "name: mine\nkind: tagged\nlabels: [O, B-PER, I-PER]\nmetric: span_f1\n"
Rows = list[tuple[str, str]]


def rows(prefix: str, count: int, labels: str = "good bad so-so") -> Rows:
    names = labels.split()
    return [(f"{prefix} {place}", names[place % len(names)]) for place in range(count)]


GOOD = {"train": rows("a", 600), "dev": rows("b", 100), "test": rows("c", 100)}


def make(root: Path, declared: str = TEXT, **languages: dict[str, Rows] | dict[str, str]) -> Path:
    root.mkdir()
    (root / "task.yaml").write_text(declared, "utf8")
    for folder, splits in ({"deu": GOOD, "nld": GOOD, "swe": GOOD} | languages).items():
        (root / folder).mkdir()
        for split, content in splits.items():
            if not isinstance(content, str):
                content = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in content)
            (root / folder / f"{split}.tsv").write_text(content, "utf8")
    return root


def warned(report: Report, *starts: str) -> list[str]:
    """What is said behind each colon, of warnings in this order; there are no others, and no errors."""
    assert report.errors == ()
    assert [each for each in report.warnings if not each.startswith(starts)] == []
    return [each.partition(": ")[2] for start in starts for each in report.warnings if each.startswith(start)]


def test_nothing_is_said_of_good_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(tmp_path / "t")
    assert validate(str(root), None, False) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "✓ nothing is wrong with the files"
    assert out.splitlines()[4].split() == ["deu", "German", "600", "100", "100", *"0000", "good", "33.3", "%"]
    assert err == f"{root}: 0 errors, 0 warnings\n"


def test_everything_that_is_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(
        tmp_path / "t",
        deu={**GOOD, "dev": [("a", "God"), ("b", "good"), ("", "bad"), ("c", "bad\tbad")]},
        nld={"train": GOOD["train"], "test": [(f"x {place}", "y") for place in range(23)]},
        deutsch=GOOD,
        eng={**GOOD, "train": []},
    )
    assert validate(str(root), None, False) == 1
    out, err = capsys.readouterr()
    told = [line.removeprefix(f"✗ {root}/") for line in out.splitlines() if line.startswith("✗")]
    assert told[0].startswith("deutsch: unknown language 'deutsch'")
    assert told[1].startswith("nld/dev.tsv: every language needs dev.tsv and test.tsv")
    assert [line.split(": ")[0] for line in told[2:5]] == [f"deu/dev.tsv, line {number}" for number in (2, 4, 5)]
    assert told[5].startswith(
        "eng/train.tsv: at least 1 example is needed; a language without train.tsv is a target"
    )
    assert [line.split(": ")[0] for line in told[6:26]] == [f"nld/test.tsv, line {n}" for n in range(2, 22)]
    assert told[26:] == ["nld/test.tsv: and 3 more"]
    assert "1 (errors)" in next(line for line in out.splitlines() if line.startswith("deu German"))
    assert err.splitlines()[-1].startswith(f"{root}: 27 errors, ")


def test_everything_that_is_wrong_with_the_declaration_is_told(tmp_path: Path) -> None:
    root = make(tmp_path / "t", "name: A\nkind: text\nlabels: [yes, no]\nmetric: macro_f1\n")
    report = check_folder(root)
    assert [each.partition(", line ")[2][:8] for each in report.errors] == ["1: name:", "3: label", "3: label"]
    assert report.json() == {
        "task": None, "folder": str(root), "errors": list(report.errors), "warnings": [], "languages": {},
    }  # fmt: skip
    (root / "task.yaml").unlink()
    assert check_folder(root).errors == (f"{root / 'task.yaml'}: a task needs this file; found deu, nld, swe",)


def test_copies_repeats_and_conflicts_are_counted(tmp_path: Path) -> None:
    train = [*GOOD["train"], ("a 0", "good"), ("a 1", "good"), ("a 1", "bad"), ("z", "bad")]
    test = [*GOOD["test"], ("a 0", "good"), ("a 0", "good"), ("a 5", "bad")]
    report = check_folder(make(tmp_path / "t", deu={**GOOD, "train": train, "test": test}))
    assert warned(
        report,
        "test examples that are also",
        "train examples that repeat",
        "test examples that repeat",
        "texts that",
    ) == [
        "deu 3 of 103 (2.9 %; 1 with another label)",
        "deu 3 of 604 (0.5 %)",
        "deu 1 of 103 (1.0 %)",
        "deu 1",
    ]
    row = next(line for line in printed(report).splitlines() if line.startswith("deu"))
    assert row.split() == ["deu", "German", "604", "100", "103", "0", "3", "4", "1", "good", "33.4", "%"]
    figures = report.json()["languages"]["deu"]["splits"]["test"]
    assert figures == {
        "examples": 103, "repeated": 1, "conflicting": 0, "in_train": 3, "otherwise": 1, "long": 0,
        "labels": {"good": 36, "bad": 34, "so-so": 33}, "complete": True,
    }  # fmt: skip


def test_labels_that_are_missing_rare_or_nearly_all(tmp_path: Path) -> None:
    declared = TEXT.replace("so-so]", "so-so, never]")
    report = check_folder(
        make(
            tmp_path / "t",
            declared,
            deu={
                **GOOD,
                "dev": rows("b", 100, "good bad"),
                "train": [*rows("a", 1000, "good bad"), ("z", "so-so")],
            },
            nld={**GOOD, "test": [*rows("b", 100, "good"), *rows("c", 10)]},
        )
    )
    assert warned(
        report,
        "labels that no example has",
        "labels under 1 % of train",
        "labels that dev lacks",
        "one label is nearly",
    ) == ["never", "so-so in deu (0.10 %)", "so-so in deu", "nld good 94.5 %"]


def test_languages_that_are_too_small(tmp_path: Path) -> None:
    small = {"train": rows("a", 599), "dev": rows("b", 99), "test": rows("c", 25)}
    report = check_folder(make(tmp_path / "t", deu=small, swe={**GOOD, "train": rows("a", 300)}))
    equal = "the presets quick and standard train every language on as many as the smallest has, here 300"
    found = warned(
        report,
        "too small to measure: fewer than 100 dev",
        "too small to measure: fewer than 100 test",
        "fewer than 600",
    )
    interval = "examples, with the 95 % interval of an accuracy of one half"
    assert found == [
        f"fewer than 100 dev {interval}: deu 99 (± 10 points)",
        f"fewer than 100 test {interval}: deu 25 (± 20 points)",
        f"swe 300, deu 599; {equal}",
    ]


def test_a_run_needs_three_languages_to_train_on(tmp_path: Path) -> None:
    target = {split: GOOD[split] for split in ("dev", "test")}
    report = check_folder(make(tmp_path / "t", nld=target, swe=target))
    assert report.errors == ()
    assert report.warnings == ("a run needs at least 3 languages with training data; found 1: deu",)
    row = next(line for line in printed(report).splitlines() if line.startswith("nld"))
    assert row.split()[:5] == ["nld", "Dutch", "–", "100", "100"]


def test_long_texts(tmp_path: Path) -> None:
    words = [("ja " * 65, "good"), ("ja " * 64, "bad"), ("字" * 171, "bad"), ("字" * 170, "good")]
    deu, nld = {**GOOD, "dev": [*GOOD["dev"], *words]}, {**GOOD, "train": [*GOOD["train"], words[0]]}
    report = check_folder(make(tmp_path / "t", deu=deu, nld=nld))
    [told] = warned(report, "dev texts of more than 64 words or 512 bytes")
    assert told == "deu 2 of 104 (1.9 %)"  # 1 of 601 is no matter


def test_parallel_languages_of_different_lengths_or_labels(tmp_path: Path) -> None:
    labels = [label for _, label in GOOD["dev"]]
    turned = [(text, label) for (text, _), label in zip(GOOD["dev"], [*labels[1:], labels[0]], strict=True)]
    other = {"train": GOOD["train"], "dev": turned, "test": [*GOOD["test"][:-1], ("d", "bad"), ("e", "bad")]}
    report = check_folder(make(tmp_path / "t", TEXT + "parallel: true\n", nld=other))
    rule = "items are parallel line by line, but"
    assert report.errors == ()
    assert report.warnings == (
        f"{rule} test has different numbers of examples: 101 in nld; 100 in deu, swe",
        f"{rule} dev has labels that are not those of the same lines in deu: nld 99",
        f"{rule} test has labels that are not those of the same lines in deu: nld 1",
    )
    assert check_folder(make(tmp_path / "other", nld=other)).warnings == ()
    # Behind a broken line all is shifted: neither labels nor numbers are compared, nor is the file called small.
    broken = {**GOOD, "dev": [("x", "none of them"), *GOOD["dev"][1:]]}
    report = check_folder(make(tmp_path / "broken", TEXT + "parallel: true\n", nld=broken))
    assert (len(report.errors), report.warnings) == (1, ())


def test_tagged_tokens(tmp_path: Path) -> None:
    def sentences(name: str, count: int, extra: str = "") -> str:
        return extra + "".join(f"{name}{place}\tB-PER\nX\tI-PER\nist\tO\n\n" for place in range(count))

    good = {"train": sentences("a", 600), "dev": sentences("b", 100), "test": sentences("c", 100)}
    odd = {
        **good,
        "train": sentences("a", 600, "y\tI-PER\n\ny\tB-PER\n\ny\tO\n\n"),
        "dev": sentences("b", 100, "y\tO\n\n"),
    }
    report = check_folder(make(tmp_path / "t", TAGGED, deu=odd, nld=good, swe=good))
    assert warned(
        report, "dev examples that are also", "train examples", "texts that train", "train sentences"
    ) == [
        "deu 1 of 101 (1.0 %)",
        "deu 2 of 603 (0.3 %)",
        "deu 1",
        "deu 1",
    ]
    assert report.json()["languages"]["deu"]["splits"]["train"]["labels"] == {"O": 601, "B-PER": 602, "I-PER": 600}


def test_that_most_tokens_are_in_no_span_is_no_matter(tmp_path: Path) -> None:
    def sentences(name: str, count: int) -> str:
        rest = "und\tO\n" * 19
        return "".join(f"{name}{place}\tB-PER\n{rest}\n" for place in range(count)) + "X\tI-PER\n" * 40

    good = {"train": sentences("a", 600), "dev": sentences("b", 100), "test": sentences("c", 100)}
    report = check_folder(make(tmp_path / "t", TAGGED, deu=good, nld=good, swe=good))
    assert not [each for each in report.warnings if "nearly all" in each]
    assert report.languages[0].splits["dev"].majority > 0.9


def test_folders_without_data_are_told(tmp_path: Path) -> None:
    root = make(tmp_path / "t", notes={}, results={})
    assert check_folder(root).warnings == (
        "folders without .tsv files are no languages and were passed over: notes, results",
    )


def test_json_and_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "t")
    assert command(["validate", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "mine"
    assert found["errors"] == found["warnings"] == []
    assert found["languages"]["swe"]["splits"]["dev"]["examples"] == 100
    (root / "swe" / "dev.tsv").write_text("text\tlabel\n")
    assert command(["validate", str(root), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["errors"] == [
        f"{root}/swe/dev.tsv: at least 1 example is needed; found none"
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KINSHIP_DATA", raising=False)
    for arguments, told in {
        (str(tmp_path / "none"),): "validate takes a folder with task.yaml, found none at",
        ("t",): "a folder is written as a path, ./t, found 't'",
        ("afrisent",): "unknown task 'afrisent' (did you mean 'afrisenti'?)",
        ("afrisenti",): "afrisenti is checked in a folder, --data DIR (or $KINSHIP_DATA), found none given",
        ("afrisenti", "--data", "nowhere"): "found nowhere",
    }.items():
        assert command(["validate", *arguments]) == 2
        assert told in capsys.readouterr().err


def test_the_name_of_another_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(tmp_path / "t", TEXT.replace("mine", "afrisenti"))
    assert validate(str(root), None, False) == 1
    assert "name: a name of the task's own is needed; found 'afrisenti', which is taken" in capsys.readouterr().out
