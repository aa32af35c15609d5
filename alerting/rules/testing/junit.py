"""Results of unit tests as JUnit XML, for CI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from alerting.rules.testing.run import FileResult


def write_junit(path: Path, results: Sequence[FileResult]) -> None:
    """Writes a file with a suite for each file of tests. Raises OSError."""
    suites = ElementTree.Element("testsuites")
    for result in results:
        failed = sum(bool(errors) for _, errors in result.cases)
        # what is wrong with the file itself is nobody's failure
        aborted = len(result.errors) if not result.cases else 0
        counts = {"tests": str(len(result.cases)), "failures": str(failed), "errors": str(aborted)}
        suite = ElementTree.SubElement(suites, "testsuite", {"name": result.file, **counts})
        for name, errors in result.cases:
            case = ElementTree.SubElement(suite, "testcase", {"name": name})
            for error in errors:
                ElementTree.SubElement(case, "failure", {"message": ""}).text = error
        if aborted:
            ElementTree.SubElement(suite, "system-err").text = "\n".join(result.errors)
    ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
