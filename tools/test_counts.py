"""Counts the test cases of one `bazel test`, from its build event file.

Usage: test_counts.py EVENTS.json STATUS

STATUS is the exit status of that bazel.
Reads the test.xml of exactly the tests that this run reports (also those from the cache), so that files
of earlier runs under bazel-testlogs do not count. Prints the targets that failed, then as the last line
`N passed, N failed, N skipped`. Exit status 1 if anything failed or nothing ran.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

GOOD = ("PASSED", "FLAKY")


def read_events(path):
    """The last result of each (target, run, shard), and targets that never ran."""
    results, broken, not_tests = {}, [], set()
    with open(path, encoding="utf-8") as events:
        for line in events:
            event = json.loads(line)
            name = event.get("id", {})
            if "testResult" in name:
                key = name["testResult"]
                run = (key["label"], key.get("run", 1), key.get("shard", 1))
                results[run] = event["testResult"]
            elif "targetConfigured" in name:
                if not event.get("configured", {}).get("targetKind", "_test rule").endswith("_test rule"):
                    not_tests.add(name["targetConfigured"]["label"])
            elif "testSummary" in name:
                status = event["testSummary"].get("overallStatus", "NO_STATUS")
                if status in ("FAILED_TO_BUILD", "NO_STATUS", "INCOMPLETE"):
                    broken.append((name["testSummary"]["label"], status))
            elif "targetCompleted" in name and "aborted" in event:
                broken.append((name["targetCompleted"]["label"], "not built"))
            elif "targetCompleted" in name and not event.get("completed", {}).get("success"):
                broken.append((name["targetCompleted"]["label"], "not built"))
    ran = {label for label, _, _ in results}
    others = ran | not_tests  # a library that does not build breaks tests, or else bazel's status
    return results, sorted({label: why for label, why in broken if label not in others}.items())


def count_cases(xml_path):
    """(passed, failed, skipped) of one test.xml."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(xml_path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif (case.find("skipped") is not None or case.get("status") == "notrun" or
              case.get("result") in ("skipped", "suppressed")):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main(path, bazel_status):
    results, broken = read_events(path)
    totals = [0, 0, 0]
    for label, why in broken:
        print(f"FAILED {label}: {why}")
        totals[1] += 1
    for (label, _, _), result in sorted(results.items(), key=lambda item: item[0]):
        counts = (0, 0, 0)
        for output in result.get("testActionOutput", []):
            if output["name"] == "test.xml":
                try:
                    counts = count_cases(urllib.parse.unquote(
                        urllib.parse.urlparse(output["uri"]).path))
                except (OSError, ElementTree.ParseError) as error:
                    print(f"{label}: no readable test.xml: {error}")
        if result["status"] not in GOOD and counts[1] == 0:
            counts = (counts[0], 1, counts[2])  # crashed or timed out: one failure at the least
        elif result["status"] in GOOD and counts == (0, 0, 0):
            counts = (1, 0, 0)  # passed without cases of its own
        if counts[1]:
            print(f"FAILED {label}: {result['status']}")
        totals = [total + count for total, count in zip(totals, counts)]
    if bazel_status != 0 and not totals[1]:
        print(f"FAILED: bazel ended with {bazel_status}, see above")
        totals[1] += 1
    elif not results:
        print("no test ran")
    print("{} passed, {} failed, {} skipped".format(*totals))
    return 1 if totals[1] or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
