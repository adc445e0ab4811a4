"""Names of labels from every kind of file that atlases come with."""

from __future__ import annotations

from pathlib import Path

import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.evaluation.label_names import read_label_names

_ITK_SNAP = """################################################
# ITK-SnAP Label Description File
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "CN, caudate"
   12     0  255    0      0.5  1  0    "Put"
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'label,name\n1,"CN, caudate"\n12,Put\n'),
        ("excel.csv", "\ufeffIndex;Region;Voxels\n1;CN, caudate;7\n12;Put;3\n"),
        ("headless.csv", '0,background\n1,"CN, caudate"\n12,Put\n'),
        ("a.tsv", "name\tcolour\tlabel\nCN, caudate\tred\t1\nPut\tblue\t12\n"),
        ("by_number.json", '{"1": "CN, caudate", "12": "Put"}'),
        ("by_name.json", '{"CN, caudate": 1, "Put": 12}'),
        ("phantom.json", '{"labels": {"CN, caudate": 1, "Put": 12}, "iron": {"caudate": 1.05}}'),
        ("records.json", '[{"Label": 1, "Name": "CN, caudate"}, {"Label": 12, "Name": "Put"}]'),
        ("itk_snap.txt", _ITK_SNAP),
    ],
)
def test_every_format_gives_the_same_names(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_label_names(tmp_path / name) == {1: "CN, caudate", 12: "Put"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no label"),
        ("name,colour\nPut,red\n", "names no label"),
        ("label,name\n1,CN\n1,Put\n", "'CN' and 'Put' for label 1"),
        ('{"1": "CN"', "no JSON"),
        ('{"a": "b"}', "names no label"),
    ],
)
def test_files_without_names_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "names.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_label_names(tmp_path / "names.txt")


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "image.nii").write_bytes(bytes(range(256)))
    for name in ("absent.csv", "image.nii"):
        with pytest.raises(InputError, match="cannot be read"):
            read_label_names(tmp_path / name)
