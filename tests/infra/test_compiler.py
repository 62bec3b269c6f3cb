"""The Bicep builds, lints and formats without a finding, and the snapshots are up to date."""

import json
import shutil
from pathlib import Path

from tests.infra.compiler import Compiler
from tests.infra.graph_snapshots import GRAPH_VARIANTS
from tests.infra.name_policy import no_id_is_defined_twice
from tests.infra.snapshots import FOLDER, VARIANTS, Snapshot

INFRA = Path(__file__).parents[2] / "infra"


def test_the_deployment_builds_and_lints(bicep: Compiler, tmp_path: Path) -> None:
    """Compiler and linter report no error and no warning for both entry points."""
    roots = f"--pattern={INFRA}/*.bicep"

    built = bicep.run("build", roots, f"--outdir={tmp_path}")
    linted = bicep.run("lint", roots)

    assert (built.code, built.complaints) == (0, "")
    assert (linted.code, linted.complaints) == (0, "")
    assert {file.name for file in tmp_path.iterdir()} == {"main.json", "resources.json"}


def test_the_graph_deployments_build_and_lint(
    bicep: Compiler, graph_folder: Path, tmp_path: Path
) -> None:
    """The grants and the app registration have no error and no warning."""
    files = f"--pattern={graph_folder}/*.bicep"

    built = bicep.run("build", files, "--no-restore", f"--outdir={tmp_path / 'built'}")
    linted = bicep.run("lint", files, "--no-restore")

    assert (built.code, built.complaints) == (0, "")
    assert (linted.code, linted.complaints) == (0, "")
    assert {file.stem for file in (tmp_path / "built").iterdir()} == {
        file.stem for file in graph_folder.glob("*.bicep")
    }


def test_every_file_is_formatted(bicep: Compiler, tmp_path: Path) -> None:
    """The formatter would change nothing."""
    shutil.copytree(INFRA, tmp_path / "infra")
    shutil.copytree(FOLDER, tmp_path / "tests" / "infra")

    for kind in ("infra/**/*.bicep", "tests/**/*.bicepparam"):
        assert bicep.run("format", f"--pattern={tmp_path}/{kind}").code == 0

    for folder, original in (("infra", INFRA), ("tests/infra", FOLDER)):
        for file in (tmp_path / folder).rglob("*.bicep*"):
            before = original / file.relative_to(tmp_path / folder)
            assert file.read_text(encoding="utf-8") == before.read_text(encoding="utf-8"), before


def test_the_snapshots_are_fresh(bicep: Compiler) -> None:
    """They are what the template deploys. `python -m tests.infra.compiler` writes them."""
    answers = {variant: bicep.snapshot(variant, mode="validate") for variant in VARIANTS}

    stale = {name: answer.output + answer.complaints for name, answer in answers.items()}

    assert [name for name, answer in answers.items() if answer.code] == [], "".join(stale.values())


def test_without_the_union_an_overlap_makes_two_equal_assignments(
    bicep: Compiler, tmp_path: Path
) -> None:
    """The compiler accepts that. The policy finds it in the variant with the overlap."""
    shutil.copytree(INFRA, tmp_path / "infra")
    folder = tmp_path / "tests" / "infra"
    folder.mkdir(parents=True)
    shutil.copy(FOLDER / "overlap.bicepparam", folder)
    file = tmp_path / "infra" / "resources.bicep"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("union(senders, operators)", "concat(senders, operators)"))

    answer = bicep.snapshot("overlap", mode="overwrite", folder=folder)

    assert (answer.code, answer.complaints) == (0, "")
    data = json.loads((folder / "overlap.snapshot.json").read_text(encoding="utf-8"))
    found = list(no_id_is_defined_twice(Snapshot(VARIANTS["overlap"], data)))
    assert [message.rpartition(" is ")[2] for message in found] == ["defined 2 times"] * len(found)
    assert len(found) == 2  # the operator, and the workflow that is named twice


def test_each_variant_has_its_files() -> None:
    """Each parameter file and each snapshot belongs to a variant of the tests."""
    assert {file.stem for file in FOLDER.glob("*.bicepparam")} == {*VARIANTS, *GRAPH_VARIANTS}
    assert {file.name.removesuffix(".snapshot.json") for file in FOLDER.glob("*.json")} == {
        *VARIANTS,
        *GRAPH_VARIANTS,
    }
