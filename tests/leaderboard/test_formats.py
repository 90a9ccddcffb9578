from __future__ import annotations

import re

import pytest

from leaderboard.latex import latex
from leaderboard.tables import table

# What LaTeX reads as something else than itself, outside of the commands that we write.
SPECIAL = re.compile(r"(?<!\\)[%#$&_{}~^]|\\(?![A-Za-z%#$&_{}^\\])")


def cells(text):
    """Cells of all body rows as LaTeX code."""
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", row.removesuffix(r"\\"))] for row in rows]


def bare(text):
    """LaTeX code without the commands for single characters: what is left must be plain."""
    text = re.sub(r"\\(textbackslash|textasciitilde|dots)\{\}|\\\^\{\}", "", text)
    return re.sub(r"\\ensuremath\{(\\[a-z]+|[<>^2-]+)\}", "", text)


def balanced(text):
    depth = 0
    for character in re.sub(r"\\[{}]", "", text):
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    return depth == 0


def test_three_floats_with_caption_and_label(make_record):
    made = table([make_record("gradsim"), make_record("overlap", measure_params={"unit": "chars"})])
    text = latex(made)
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 3
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 3
    labels = re.findall(r"\\label\{(.*)\}", text)
    assert labels == ["tab:afrisenti-p1-foresight", "tab:afrisenti-p1-worth", "tab:afrisenti-p1-cost"]
    for part in ("data folder 0123456789ab", "model scratch", "5 languages", "seed 3", "protocol p1"):
        assert text.count(part) == 3
    assert "overlap[unit=chars]" in text
    assert balanced(text)
    assert [len(row) for row in cells(text)[:2]] == [8, 8]


def test_nothing_but_what_pdflatex_with_utf8_can_set(make_record):
    made = table([make_record("gradsim"), make_record("oracle"), make_record("русский→é")])
    text = latex(made)
    assert set(re.findall(r"[^\x00-\x7f]", text)) == {"é"}
    assert r"\ensuremath{\rho} per target" in text
    assert r"\ensuremath{\dagger}" in text
    assert r"\ensuremath{\times}100" in text
    assert "[U+0440]" in text
    assert r"\ensuremath{\rightarrow}é" in text
    assert r"\ensuremath{-}" in text
    assert "--" in text
    assert balanced(text)


@pytest.mark.parametrize("character", list("%#$&_{}~^\\<>"))
def test_special_characters_are_escaped(make_record, character):
    name, task = f"a{character}b", f"t{character}"
    record = make_record(name, task=task)
    text = latex(table([record]))
    assert balanced(text)
    for row in cells(text):
        assert all(not SPECIAL.search(bare(cell)) for cell in row), row
    assert [row[0] for row in cells(text)][1] not in (name, "")
    captions = re.findall(r"\\caption\{(.*)\}", text)
    assert len(captions) == 3
    assert all(not SPECIAL.search(bare(caption)) for caption in captions)
    assert re.fullmatch(r"[A-Za-z0-9:-]+", re.findall(r"\\label\{(.*)\}", text)[0])


@pytest.mark.parametrize("name", ["[2cm]", "*a", "[U+0440]"])
def test_no_row_begins_with_what_a_line_break_would_take_as_its_argument(make_record, name):
    given = name.replace("[U+0440]", "р")  # written as its code point
    rows = [row[0] for row in cells(latex(table([make_record(given)])))]
    assert f"{{{name[0]}}}{name[1:]}" in rows


def test_a_name_cannot_break_out_of_its_line(make_record):
    text = latex(table([make_record("a\n\\end{table*}\x07b")]))
    assert text.count(r"\end{table*}") == 3
    assert "\x07" not in text


def test_a_sample_has_no_table_of_foresight(make_record):
    text = latex(table([make_record("a", correlation=None)]))
    assert re.findall(r"\\label\{.*-(.*)\}", text) == ["worth", "cost"]
