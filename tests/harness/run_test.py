#!/usr/bin/env python3
"""Runs one test of one file: run_test.py FILE TEST_NAME. Exit 77 when it was skipped. Called by ctest."""

import importlib.util
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


def main() -> int:
    file, name = sys.argv[1:3]
    spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    suite = unittest.TestSuite(test for group in unittest.defaultTestLoader.loadTestsFromModule(module) for test in group
                               if test.id().endswith("." + name))
    if suite.countTestCases() != 1:
        print(f"{file} has no test {name}")
        return 1
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    if not result.wasSuccessful():
        return 1
    return 77 if result.skipped else 0


if __name__ == "__main__":
    sys.exit(main())
