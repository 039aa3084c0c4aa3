"""rb config check, show and schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robustbench_lite.cli.app import app
from robustbench_lite.config.patterns import never
from robustbench_lite.config.schema import Config


@pytest.fixture
def rb(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*words, env=None):
        return CliRunner().invoke(app, ["config", *words], env=env, catch_exceptions=False)

    return call


def checked(rb, text):
    Path("rb.toml").write_text(text, encoding="utf-8")
    return rb("check")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data.splitt = 1\nseed = 1", "error: rb.toml: seed: unknown key; did you mean 'run.seed'?"),
        ("model.spec = 'dmo'", "error: rb.toml: model.spec: unknown model 'dmo'. Did you mean 'demo'?"),
        ("model.mean = 0.5", "error: rb.toml: model.mean: of which network?"),
        ("model = { spec = 'demo', mean = 0.5 }", "error: rb.toml: model.mean: mean and std belong together"),
        ("data.spec = 'foldr:x'", "error: rb.toml: data.spec: unknown data set 'foldr'. Did you mean 'folder'?"),
        ("data = { limit = 1, first = 1 }", "error: rb.toml: data.first: limit and first exclude each other"),
        ("suites.a.conditions = ['nigt']", "error: rb.toml: suites.a: unknown attack or shift 'nigt'."),
        (
            "suites.a.conditions = ['night(severty=3)']",
            "error: rb.toml: suites.a: unknown argument of night 'severty'. Did you mean 'severity'?",
        ),
        ("suites.a.conditions = ['worst(pgd(stps=3))']", "unknown argument of pgd 'stps'. Did you mean 'steps'?"),
        ("suites.a.conditions = ['pgd(']", "error: rb.toml: suites.a: a bracket or quote is left open"),
        ("suites.a.include = ['quik']", "error: rb.toml: suites: unknown suite 'quik'. Did you mean 'quick'?"),
        ("suites.a.include = ['b']\nsuites.b.include = ['a']", "includes itself: "),
        ("run.suite = 'quik'", "error: rb.toml: run.suite: unknown suite 'quik'. Did you mean 'quick'?"),
        (
            "[[gate]]\nid='a'\nmin=1\nmetric='accuracy_'",
            "gate[a].metric: unknown metric 'accuracy_'. Did you mean",
        ),
        (
            "[[gate]]\nid='a'\nmin=0.9\nwhere={condition='nigth(*)'}",
            "error: rb.toml: gate[a].where: this rule can never match: unknown attack or shift 'nigth'. Did you",
        ),
        ("[[gate]]\nid='a'\nmin=90", "error: rb.toml: gate[a]: min = 90 of the rule 'a' says nothing"),
        ("[[gate]]\nid='a'\nbaseline='b'\nmax_drop=5", "Write shares as shares: 0.05 for 5 %."),
    ],
)
def test_errors_are_told_with_their_place_and_exit_2(rb, text, told):
    done = checked(rb, text)
    assert done.exit_code == 2
    assert told in done.stdout


def test_what_is_not_there_yet_is_a_warning(rb):
    done = checked(
        rb,
        "model = { spec = 'net.safetensors', weights = 'w.pt' }\ndata.spec = 'folder:parts'\n"
        "run.detector = 'det'\n"
        "[[gate]]\nid = 'a'\nbaseline = 'runs/main'\nmax_drop = 0.01\n",
    )
    assert done.exit_code == 0
    names = ["net.safetensors", "w.pt", "parts", "det", "runs/main"]
    warnings = [line for line in done.stdout.splitlines() if line.startswith("warning: rb.toml: ")]
    assert [line.rpartition(" ")[2] for line in warnings] == names
    assert done.stdout.endswith("rb.toml is sound: 1 gate, 0 suites of its own\n")
    Path("runs/main").mkdir(parents=True)
    assert "runs/main is no run" in rb("check").stdout


def test_a_split_is_one_that_there_can_be(rb):
    done = checked(rb, "data.split = 'tets'")
    assert done.exit_code == 2
    told = "error: rb.toml: data.split: unknown split 'tets'. Did you mean 'test'? Known: all, test, train, val.\n"
    assert done.stdout.startswith(told)
    Path("parts/Train/a").mkdir(parents=True)
    own = "data = { spec = 'folder:parts', split = '%s' }"
    done = checked(rb, own % "test")
    assert done.exit_code == 0
    assert "warning: rb.toml: data.split: folder:parts has no test/, but train, val\n" in done.stdout
    for split in ("train", "val", "all"):  # val is carved out of train
        assert "warning" not in checked(rb, own % split).stdout
    Path("parts/valid").mkdir()
    assert "warning" not in checked(rb, own % "val").stdout


def test_paths_are_looked_for_from_the_file(rb):
    Path("ci/parts").mkdir(parents=True)
    Path("ci/nets.py").touch()
    Path("ci/rb.toml").write_text("model.spec = 'nets.py:make(width=3)'\ndata.spec = 'folder:parts'\n")
    done = rb("check", "ci/rb.toml")
    assert done.stdout == "ci/rb.toml is sound: 0 gates, 0 suites of its own\n"


@pytest.mark.parametrize(
    "text",
    [
        "model.spec='torchvision:resnet18'",
        "model.spec='timm:x.y'",
        "data.spec='mnist'",
        "model.spec='cnn(width=8)'",
        "data.spec='digits'",
        "model.spec='pkg.nets:make'",
    ],
)
def test_names_that_are_no_files_are_known(rb, text):
    assert checked(rb, text).stdout == "rb.toml is sound: 0 gates, 0 suites of its own\n"


def test_no_file_is_told_what_to_do(rb):
    done = rb("check")
    assert done.exit_code == 2
    assert "rb init" in done.stderr
    done = rb("check", "none.toml")
    told = "error: cannot read none.toml: No such file or directory. Check the path.\n"
    assert (done.exit_code, done.stderr) == (2, told)


def test_hostile_text_stays_text(rb):
    done = checked(rb, '"\\u001b[31m::error::" = 1\n[suites."\\u202e\\u001b[2J"]\nconditions = ["\\u001b[2J"]\n')
    assert done.exit_code == 2
    assert not {"\x1b", "\u202e"} & set(done.stdout)
    done = checked(rb, '[suites."\\u202ex"]\nconditions = ["clean"]\nabout = "\\u001b[2J\\n::error::x"\n')
    assert done.exit_code == 0
    shown = rb("show").stdout
    assert not {"\x1b", "\u202e"} & set(shown)
    assert not any(line.startswith("::") for line in shown.splitlines())


@pytest.mark.parametrize(
    ("condition", "kind", "severity"),
    [
        ("night(severity=3)", None, None),
        ("night(severity=3)", "shift", 3.0),
        ("Night", "shift", 3.0),
        ("clean", "clean", None),
        ("*", "attack", None),
        ("pgd(*)", None, None),
        ("n?ght*", None, None),
        ("*severity=3*", None, None),
        ("pgd(norm=l?, *)", None, None),
        ("jpeg(*)", "chain", None),  # jpeg(severity=3) + night(severity=3)
        ("jpeg*", "shift", None),
        ("night", None, 4.0),  # night(severity=4)
        ("night(*) + pgd(*)", "chain", None),
        ("*blur(severity=?)", None, None),
        ("own.py:Scratch(*)", None, None),
        ("own.py:Scratch(depth=3)", "shift", None),
        ("torchattacks:PGD(steps=3)", "attack", None),
        ("worst(pgd(steps=3), square)", "attack", None),
        ("imagenet_c(corruption=fog, *)", None, None),
        (None, "shift", 2.5),
    ],
)
def test_rules_that_can_match(condition, kind, severity):
    assert never(condition, kind, severity) is None


@pytest.mark.parametrize(
    ("condition", "kind", "severity", "told"),
    [
        ("nigth(severity=3)", None, None, "Did you mean 'night'?"),
        ("nigth(*)", None, None, "Did you mean 'night'?"),
        ("Night(*)", None, None, "Did you mean 'night'?"),
        ("night(*) + pdg(*)", None, None, "Did you mean 'pgd'?"),
        ("night(severty=*)", None, None, "Did you mean 'severity'?"),
        ("*severty=3*", None, None, "Did you mean 'severity'?"),
        ("night(severity=3", None, None, "left open"),
        ("night(severity=3)", "attack", None, "is of the kind shift, not attack"),
        ("night(severity=3)", None, 4.0, "does not have the severity 4"),
        ("pgd", None, 4.0, "pgd has no severity"),
        (None, "clean", 1.0, "kind clean has no severity"),
        ("night + pgd", "shift", None, "is of the kind chain, not shift"),
        ("jpeg(*)", "attack", None, "jpeg(*) is of the kind shift, not attack"),
        ("pgd(eps=?)", "clean", None, "is of the kind attack, not clean"),
    ],
)
def test_rules_that_can_never_match(condition, kind, severity, told):
    assert told in (never(condition, kind, severity) or "")


SUITE = """run.suite = 'own'
[suites.own]
conditions = ['fog(severity=3)', 'jpeg', 'spatter(severity=1, mud=true)', 'night(severity=2) + jpeg', 'pgd']
[[gate]]
id = 'a'
min = 0.5
"""


@pytest.mark.parametrize(
    ("where", "is_there"),
    [
        ("condition = 'fog(severity=3)'", True),
        ("condition = 'fog', severity = 3", True),
        ("condition = 'jpeg(severity=3)'", True),  # the default
        ("condition = 'fog'", True),  # the same
        ("condition = 'spatter(mud=true, severity=1)'", True),
        ("condition = 'night(severity=2) + jpeg(severity=3)'", True),
        ("condition = 'clean'", True),
        ("condition = '*'", True),
        ("kind = 'chain'", True),
        ("severity = 1", True),
        ("condition = 'pgd(eps=0.1)'", True),  # perhaps the data's usual budget
        ("condition = 'pgd(*)'", True),
        ("condition = 'fog(severity=4)'", False),
        ("condition = 'spatter(mud=true)'", False),  # that is severity 3
        ("condition = 'fog(severity=5*'", False),
        ("condition = 'haze(*)'", False),
        ("condition = 'fgsm'", False),
        ("condition = 'adaptive(*)'", False),
        ("severity = 4", False),
    ],
)
def test_rules_about_nothing_in_the_suite_are_warned_of(rb, where, is_there):
    done = checked(rb, f"{SUITE}where = {{ {where} }}\n")
    assert done.exit_code == 0
    told = "warning: rb.toml: gate[a].where: no condition of run.suite (own) matches"
    assert (told not in done.stdout) == is_there


def test_classes_that_the_folder_does_not_have_are_warned_of(rb):
    for name in ("train/good", "test/good", "test/bent", "test/.cache"):
        (Path("parts") / name).mkdir(parents=True)
    text = "data.spec = 'folder:parts'\n[[gate]]\nid = 'a'\nmin = 0.5\nwhere.class = "
    for known in ("'bent'", "'b*'"):
        assert "warning" not in checked(rb, text + known).stdout
    done = checked(rb, text + "'bend'")
    assert done.exit_code == 0
    assert "warning: rb.toml: gate[a].where.class: unknown class 'bend'. Did you mean 'bent'?" in done.stdout
    assert "warning" not in checked(rb, "[[gate]]\nid = 'a'\nmin = 0.5\nwhere.class = 'x'").stdout


def test_show_has_every_value_with_its_origin(rb):
    Path("rb.toml").write_text(
        "data.limit = 9\nrun.suite = 'own'\nsuites.own.conditions = ['clean']\n[[gate]]\nid = 'a'\nmin = 0.5\n"
    )
    env = {"RB_RUN_SEED": "4", "RB_NOTHING": "1"}
    done = rb("show", "--set", "data.spec=mnist", "--json", env=env)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["file"] == "rb.toml"
    values = found["values"]
    assert values["data.limit"] == {"value": 9, "origin": "rb.toml"}
    assert values["data.spec"] == {"value": "mnist", "origin": "--set"}
    assert values["run.seed"] == {"value": 4, "origin": "RB_RUN_SEED"}
    assert values["data.split"] == {"value": "test", "origin": "default"}
    assert values["suites.own"]["origin"] == "rb.toml"
    assert values["gate[a]"]["origin"] == "rb.toml"
    tables = ("model", "data", "run", "gates", "report")
    assert set(values) - {"suites.own", "gate[a]"} == {
        f"{table}.{key}" for table in tables for key in Config().model_dump()[table]
    }
    assert "RB_NOTHING means nothing" in done.stderr
    plain = rb("show", env=env).stdout
    assert [line.split() for line in plain.splitlines() if line.startswith("run.seed")] == [
        ["run.seed", "4", "RB_RUN_SEED"]
    ]


def test_show_refuses_what_a_command_would_refuse(rb):
    assert rb("show", "--set", "data.lmit=3").exit_code == 2
    assert "did you mean 'data.limit'?" in rb("show", "--set", "data.lmit=3").stderr
    assert rb("show", "--config", "none.toml").exit_code == 2


def test_the_schema_judges_as_the_reader_does(rb):
    schema = json.loads(rb("schema").stdout)
    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema["properties"]) == set(Config.model_fields)
    jsonschema = pytest.importorskip("jsonschema")
    good = {"data": {"input_size": 96, "limit": 3}, "model": {"mean": [0.5, 0.5]}, "gate": [{"id": "a", "min": 1}]}
    jsonschema.validate(good, schema)
    for bad in ({"dat": {}}, {"data": {"limit": 0}}, {"gate": [{"min": 1}]}, {"gates": {"inconclusive": "x"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


def test_none_of_it_needs_torch(tmp_path):
    Path(tmp_path / "rb.toml").write_text("suites.a.conditions = ['night + pgd']\n[[gate]]\nid='a'\nmin=1\n")
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom robustbench_lite.cli.app import app\n"
        "for word in ('check', 'show', 'schema'):\n"
        "    assert CliRunner().invoke(app, ['config', word]).exit_code == 0, word\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
