"""How `python -m tests.infra.checkov` reads checkov's report."""

from tests.infra.checkov import LOOKED_AT, findings

PASSED = [{"file_path": f"/modules/{name}"} for name in sorted(LOOKED_AT)]
FAILED = {
    "file_path": "/modules/storage.bicep",
    "file_line_range": [25, 46],
    "check_id": "CKV_AZURE_3",
    "check_name": "Ensure that secure transfer is on",
    "resource": "Microsoft.Storage/storageAccounts.storage",
}


def report(**results: object) -> dict[str, object]:
    """Make a report in checkov's format, without findings except in the given results."""
    clean = {"passed_checks": PASSED, "failed_checks": [], "parsing_errors": []}
    return {"results": {**clean, **results}}


def test_a_clean_report_has_no_findings() -> None:
    """Passed checks on every file are no findings."""
    assert findings(report()) == []


def test_a_failed_check_is_a_finding() -> None:
    """It is shown with its place, id and resource."""
    (found,) = findings(report(failed_checks=[FAILED]))

    assert found == (
        "/modules/storage.bicep:25: CKV_AZURE_3 Ensure that secure transfer is on"
        " (Microsoft.Storage/storageAccounts.storage)"
    )


def test_a_file_that_cannot_be_parsed_is_a_finding() -> None:
    """Checkov exits with 0 in this case."""
    assert findings(report(parsing_errors=["/x/main.bicep"])) == [
        "/x/main.bicep: checkov cannot parse it"
    ]


def test_a_report_without_any_resource_is_not_clean() -> None:
    """If checkov scanned nothing, each file that it should check is a finding."""
    assert len(findings({"passed": 0, "failed": 0})) == len(LOOKED_AT)
