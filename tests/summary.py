"""
Adds pytest's JUnit reports up to one line: C{python tests/summary.py REPORT ...}.
"""

import sys
from xml.etree import ElementTree


def summary(reports: list[str]) -> tuple[str, bool]:
    """
    Return the line, and whether something passed and nothing failed.
    """
    total = failed = skipped = 0
    for report in reports:
        for suite in ElementTree.parse(report).iter("testsuite"):
            total += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0))
    passed = total - failed - skipped
    return f"{passed} passed, {failed} failed, {skipped} skipped", passed > 0 and failed == 0


if __name__ == "__main__":
    line, well = summary(sys.argv[1:])
    print(line)
    sys.exit(not well)
