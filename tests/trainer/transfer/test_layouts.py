"""Readers of data sets, on tiny copies of their own layouts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from shards_spec.errors import InputError
from trainer.transfer import Task, read_layout
from trainer.transfer.labeled_files import LabeledSet
from trainer.transfer.layouts.kinetics_sounds import CLASSES

#: Text of lists, and files that only have to exist.
Tree = Mapping[str, str]

UCF101: Tree = {
    "ucfTrainTestlist/classInd.txt": "1 ApplyEyeMakeup\n2 YoYo\n",
    "ucfTrainTestlist/trainlist01.txt": (
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n"
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi 1\r\nYoYo/v_YoYo_g09_c01.avi 2\r\n"
    ),
    "ucfTrainTestlist/testlist01.txt": "YoYo/v_YoYo_g01_c01.avi\n",
    "ucfTrainTestlist/trainlist02.txt": "YoYo/v_YoYo_g01_c01.avi 2\n",
    "ucfTrainTestlist/testlist02.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi\n",
    "ucfTrainTestlist/trainlist03.txt": "YoYo/v_YoYo_g01_c01.avi 2\n",
    "ucfTrainTestlist/testlist03.txt": "YoYo/v_YoYo_g09_c01.avi\n",
    "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi": "",
    "UCF-101/YoYo/v_YoYo_g01_c01.avi": "",
    "UCF-101/YoYo/v_YoYo_g09_c01.avi": "",
}
_HMDB = "testTrainMulti_7030_splits"
HMDB51: Tree = {
    **{
        f"{_HMDB}/brush_hair_test_split{fold}.txt": (
            f"April_09_brush_hair_u_nm_np1_ba_goo_0.avi {'121'[fold - 1]} \n"
            f"April_09_brush_hair_u_nm_np1_ba_goo_1.avi {'121'[fold - 1]} \n"
            f"#20_hair_h_cm_np1_le_goo_0.avi {'212'[fold - 1]} \n"
            "not used_u_cm_np1_le_goo_0.avi 0 \n"
        )
        for fold in (1, 2, 3)
    },
    **{f"{_HMDB}/run_test_split{n}.txt": "a b_run_f_cm_np1_le_med_0.avi 1\n" for n in (1, 2, 3)},
    "hmdb51_org/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi": "",
    "hmdb51_org/brush_hair/#20_hair_h_cm_np1_le_goo_0.avi": "",
    "hmdb51_org/run/a b_run_f_cm_np1_le_med_0.avi": "",
}
ESC50: Tree = {
    "meta/esc50.csv": (
        "filename,fold,target,category,esc10,src_file,take\n"
        "1-100032-A-0.wav,1,0,dog,True,100032,A\n1-9-A-1.wav,1,1,rooster,False,9,A\n"
        "2-7-A-0.wav,2,0,dog,True,7,A\n2-8-A-1.wav,2,1,rooster,False,8,A\n"
    ),
    **{f"audio/{name}.wav": "" for name in ("1-100032-A-0", "1-9-A-1", "2-8-A-1")},
}
VGGSOUND: Tree = {
    "vggsound.csv": (
        "---g-f_I2yQ,1,people marching,test\n"
        '--0PQM4-hqg,30,"playing erhu, slowly",train\n-x_,7,people marching,train\n'
        "-x_,20,people marching,train\n"
    ),
    "video/---g-f_I2yQ_000001.mp4": "",
    "audio/---g-f_I2yQ_000001.wav": "",
    "video/--0PQM4-hqg_30.webm": "",
    "video/-x_.mp4": "",
    "thumbnails/-x_.jpg": "",
}
_HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
KINETICS_SOUNDS: Tree = {
    "train.csv": (
        f"{_HEADER}playing piano,-aB_,4,14,train,0\ntickling,zz9,0,10,train,0\n"
        "yoga,other,0,10,train,0\ntickling,gone,0,10,train,0\n"
    ),
    "validate.csv": f"{_HEADER}tickling,v_1,12,22,val,0\n",
    "train/playing piano/-aB__000004_000014.mp4": "",
    "train/tickling/zz9_000000_000010.mp4": "",
    "validate/tickling/v_1_000012_000022.mp4": "",
}
AUDIOSET: Tree = {
    "class_labels_indices.csv": (
        'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/t/dd00088,"Gush"\n'
        '2,/m/05zppz,"Male speech, man speaking"\n'
    ),
    "balanced_train_segments.csv": (
        "# Segments csv created Sun Mar  5 10:54:25 2017\n# num_ytids=2, num_segs=2\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n-y0, 0.000, 10.000, "/m/05zppz"\n'
    ),
    "eval_segments.csv": (
        '# x\n# y\n# z\n-e1, 20.000, 30.000, "/m/09x0r"\n-e2, 5.000, 15.000, "/t/dd00088"\n'
    ),
    "balanced/--PJHxphWEs_30000_40000.flac": "",
    "balanced/Y-y0.wav": "",
    "eval/-e1_20.mp4": "",
    "eval/-e2.m4a": "",
}
TREES: dict[Task, Tree] = {
    "ucf101": UCF101,
    "hmdb51": HMDB51,
    "esc50": ESC50,
    "vggsound": VGGSOUND,
    "kinetics-sounds": KINETICS_SOUNDS,
    "audioset": AUDIOSET,
}


def write(root: Path, tree: Tree) -> Path:
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def sides(labeled: LabeledSet, fold: str) -> tuple[list[str], list[str]]:
    """Names of the training and test files of a fold."""
    [found] = [one for one in labeled.folds if one.name == fold]
    train, test = ([labeled.files[row].name for row in side] for side in (found.train, found.test))
    return train, test


def label_names(labeled: LabeledSet) -> dict[str, list[str]]:
    return {f.name: [labeled.classes[number] for number in f.labels] for f in labeled.files}


def test_ucf101(tmp_path: Path) -> None:
    found = read_layout("ucf101", write(tmp_path, UCF101))
    assert found.classes == ("ApplyEyeMakeup", "YoYo")
    assert [fold.name for fold in found.folds] == ["1", "2", "3"]
    apply, yoyo = "ApplyEyeMakeup/v_ApplyEyeMakeup", "YoYo/v_YoYo"
    train, test = sides(found, "1")
    assert train == [f"{apply}_g08_c01.avi", f"{apply}_g08_c02.avi", f"{yoyo}_g09_c01.avi"]
    assert test == [f"{yoyo}_g01_c01.avi"]
    assert sides(found, "3") == ([f"{yoyo}_g01_c01.avi"], [f"{yoyo}_g09_c01.avi"])
    assert found.missing == [f"{apply}_g08_c02.avi"]
    groups = {file.name: file.group for file in found.files}
    assert groups[train[0]] == groups[train[1]] == "v_ApplyEyeMakeup_g08"
    assert len(set(groups.values())) == 3
    # Some of the folds: files of others are not looked for.
    assert len(found.with_folds(["3"]).files) == 2
    assert sides(found.with_folds(["3"]), "3") == sides(found, "3")
    with pytest.raises(InputError, match="folds 4 do not exist"):
        found.with_folds(["4"])


def test_hmdb51(tmp_path: Path) -> None:
    found = read_layout("hmdb51", write(tmp_path, HMDB51))
    assert found.classes == ("brush_hair", "run")
    train, test = sides(found, "1")
    april = "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo"
    run = "run/a b_run_f_cm_np1_le_med_0.avi"
    assert train == [f"{april}_0.avi", f"{april}_1.avi", run]
    assert test == ["brush_hair/#20_hair_h_cm_np1_le_goo_0.avi"]
    assert sides(found, "2") == ([*test, run], train[:2])
    assert found.missing == [f"{april}_1.avi"]
    groups = {file.name: file.group for file in found.files}
    assert groups[train[0]] == groups[train[1]] == "April_09_brush_hair"


def test_esc50(tmp_path: Path) -> None:
    found = read_layout("esc50", write(tmp_path, ESC50))
    assert label_names(found)["1-9-A-1.wav"] == ["rooster"]
    assert sides(found, "2") == (
        ["1-100032-A-0.wav", "1-9-A-1.wav"],
        ["2-7-A-0.wav", "2-8-A-1.wav"],
    )
    assert found.missing == ["2-7-A-0.wav"]


def test_vggsound(tmp_path: Path) -> None:
    found = read_layout("vggsound", write(tmp_path, VGGSOUND))
    assert found.classes == ("people marching", "playing erhu, slowly")
    train, test = sides(found, "official")
    assert train == ["--0PQM4-hqg_000030", "-x__000007", "-x__000020"]
    assert test == ["---g-f_I2yQ_000001"]
    paths = {file.name: file.path for file in found.files}
    # Video comes before audio of the same name.
    assert paths[test[0]] == tmp_path / "video/---g-f_I2yQ_000001.mp4"
    assert paths[train[0]] == tmp_path / "video/--0PQM4-hqg_30.webm"
    assert found.missing == []


def test_kinetics_sounds(tmp_path: Path) -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 31
    found = read_layout("kinetics-sounds", write(tmp_path, KINETICS_SOUNDS))
    train, test = sides(found, "official")
    assert train == ["-aB__000004_000014", "zz9_000000_000010", "gone_000000_000010"]
    assert test == ["v_1_000012_000022"]
    assert label_names(found)[test[0]] == ["tickling"]
    assert found.missing == ["gone_000000_000010"]
    assert found.notes == ("31 classes; tested on validate.csv",)
    # A list of one's own replaces the classes.
    (tmp_path / "classes.txt").write_text("yoga\ntickling\n")
    found = read_layout("kinetics-sounds", tmp_path)
    assert found.classes == ("tickling", "yoga")
    assert sides(found, "official")[0][1] == "other_000000_000010"


def test_audioset(tmp_path: Path) -> None:
    found = read_layout("audioset", write(tmp_path, AUDIOSET))
    assert found.has_many_labels
    assert label_names(found) == {
        "--PJHxphWEs_30_40": ["Speech", "Gush"],
        "-y0_0_10": ["Male speech, man speaking"],
        "-e1_20_30": ["Speech"],
        "-e2_5_15": ["Gush"],
    }
    assert sides(found, "official")[1] == ["-e1_20_30", "-e2_5_15"]
    assert found.missing == []


@pytest.mark.parametrize("task", TREES)
def test_a_folder_without_lists_is_refused(task: Task, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check --root"):
        read_layout(task, tmp_path)


@pytest.mark.parametrize("task", TREES)
def test_a_folder_without_clips_is_refused(task: Task, tmp_path: Path) -> None:
    lists = {name: text for name, text in TREES[task].items() if text}
    with pytest.raises(InputError, match=r"none of the \d+ training files .* is there, such as"):
        read_layout(task, write(tmp_path, lists))


@pytest.mark.parametrize(
    ("task", "name", "text", "message"),
    [
        ("ucf101", "ucfTrainTestlist/testlist02.txt", "Gone/v.avi\n", "line 1: 'Gone/v.avi'"),
        ("ucf101", "ucfTrainTestlist/testlist02.txt", "YoYo/v_YoYo_g01_c01.avi", "training and te"),
        ("hmdb51", f"{_HMDB}/run_test_split3.txt", "x.avi 3\n", "line 1: the code is '3'"),
        ("esc50", "meta/esc50.csv", "filename,category\na,b\n", "lacks the columns"),
        ("esc50", "meta/esc50.csv", "filename,fold,category\na,1\n", "line 2: 2 columns"),
        ("vggsound", "vggsound.csv", "a,1,b,validation\n", "is not train or test"),
        ("vggsound", "vggsound.csv", "a,one,b,test\n", "'one' is not a time"),
        ("vggsound", "more/---g-f_I2yQ_000001.mp4", "", "have one name"),
        ("audioset", "eval_segments.csv", '-e1, 20, 30, "/m/none"\n', "are not in class_labels"),
        ("kinetics-sounds", "train.csv", f"{_HEADER}yoga,a,0,10,train,0\n", "none of 31 classes"),
    ],
)
def test_damaged_lists_are_refused(
    task: Task, name: str, text: str, message: str, tmp_path: Path
) -> None:
    write(tmp_path, {**TREES[task], name: text})
    with pytest.raises(InputError, match=message):
        read_layout(task, tmp_path)
