"""The snapshots of infra/graph's sign-in: the registration, and the consent for it.

`python -m tests.infra.graph_snapshots` writes them. Review their diff.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.infra.compiler import Compiler, Response, find
from tests.infra.snapshots import FOLDER

GRAPH_VARIANTS = ("sign-in", "delegated-permissions")
_INFRA = Path(__file__).parents[2] / "infra"


def load(variant: str) -> list[dict[str, Any]]:
    """Read the resources of a variant's snapshot."""
    resources: list[dict[str, Any]] = read(variant)["predictedResources"]
    return resources


def read(variant: str) -> dict[str, Any]:
    """Read a variant's whole snapshot."""
    text = (FOLDER / f"{variant}.snapshot.json").read_text(encoding="utf-8")
    snapshot: dict[str, Any] = json.loads(text)
    return snapshot


def copy_with_extension(folder: Path) -> Path:
    """Copy infra/graph and its variants to a folder where the Graph extension may be a local file.

    BICEP_GRAPH_EXTENSION may name the extension's package (a .tgz), for builds without a network;
    without it, Bicep downloads the package once and caches it. Returns the copy of infra/graph.
    """
    graph, variants = folder / "infra" / "graph", folder / "tests" / "infra"
    shutil.copytree(_INFRA / "graph", graph)
    variants.mkdir(parents=True)
    for variant in GRAPH_VARIANTS:
        for suffix in ("bicepparam", "snapshot.json"):
            shutil.copy(FOLDER / f"{variant}.{suffix}", variants)
    if package := os.environ.get("BICEP_GRAPH_EXTENSION"):
        shutil.copy(package, graph / "graph.tgz")
        configuration = json.loads((graph / "bicepconfig.json").read_text(encoding="utf-8"))
        configuration["extensions"] = {"microsoftGraphV1": "./graph.tgz"}
        (graph / "bicepconfig.json").write_text(json.dumps(configuration), encoding="utf-8")
    for name in ("bicepconfig.json", "graph.tgz"):
        if (graph / name).exists():
            shutil.copy(graph / name, variants)
    return graph


def write_snapshot(compiler: Compiler, variant: str, graph: Path) -> tuple[Response, str]:
    """Write a variant's snapshot in the copy, and return it as text.

    The caller compares it, because the compiler's own comparison (mode validate) fails with an
    exception on resources of Microsoft Graph, which have no id (Bicep 0.49.2).
    """
    variants = graph.parents[1] / "tests" / "infra"
    answer = compiler.snapshot(variant, mode="overwrite", folder=variants, group="graph")
    return answer, (variants / f"{variant}.snapshot.json").read_text(encoding="utf-8")


def main() -> int:
    """Write both snapshots."""
    compiler = find()
    if compiler is None:
        print("No Bicep compiler: put `bicep` on PATH, or run `az bicep install`.")  # noqa: T201
        return 1
    with tempfile.TemporaryDirectory() as folder:
        graph = copy_with_extension(Path(folder))
        answers = []
        for variant in GRAPH_VARIANTS:
            answer, text = write_snapshot(compiler, variant, graph)
            print(answer.complaints, end="")  # noqa: T201
            answers.append(answer)
            if answer.code == 0 and json.loads(text) != read(variant):
                (FOLDER / f"{variant}.snapshot.json").write_text(text, encoding="utf-8")
    return max(answer.code for answer in answers)


if __name__ == "__main__":
    sys.exit(main())
