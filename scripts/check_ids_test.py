#!/usr/bin/python3
"""What check_ids.py counts as a row, as a test, and as a failure."""
import contextlib
import io
import pathlib
import tempfile
import unittest

import check_ids

STATUS = '''# Status
P9 in prose is no row.

| id | what | state |
|----|------|-------|
| P1 | durable | done |
| **H2** | torn tail | Done: see below |
| `GA` | guard | done |
| [L5](log.md) | floor | open, not done |
| H22 | clock | open |
| Pages | not an id | done |
'''

TEST_C = '''
/* cmocka_unit_test(H22_only_in_a_comment) */
static void P1_acknowledged_is_durable(void **state) {}
static void H22_defined_but_not_registered(void **state) {}
static void the_XH22_and_H222_and_H22(void **state) {}
static void
torn_H2_L5_both(void **state) {}
ITEMS_THREE_WAYS(L5_by_a_macro, build)
ITEMS_THREE_WAYS(H22_by_a_macro_and_not_registered, build)
static const char *text = "cmocka_unit_test(H22_in_a_string)";
const struct CMUnitTest tests[] = {
    cmocka_unit_test(P1_acknowledged_is_durable),
    OWN_MACRO(the_XH22_and_H222_and_H22),
    cmocka_unit_test_setup_teardown(
        torn_H2_L5_both, a, b),
    ITEMS_ROWS(L5_by_a_macro),
};
'''

TEST_PYTHON = '''
class Guards:
    def test_GA_change_splits_a_batch(self):  # def test_H22_x(
        """def test_H22_y("""
'''


class Ids(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        self.write('docs/status.md', STATUS)
        self.write('tests/unit/log/test_log.c', TEST_C)
        self.write('tests/e2e/test_guards.py', TEST_PYTHON)

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding='utf-8')

    def run_check(self, *arguments):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = check_ids.main([*arguments, str(self.root)])
        return status, output.getvalue().splitlines()

    def test_rows_and_their_claims_are_read(self):
        rows, _ = check_ids.check(self.root)
        self.assertEqual({name: row.done for name, row in rows.items()},
                         {'P1': True, 'H2': True, 'GA': True, 'L5': False, 'H22': False})

    def test_only_tests_that_run_count_and_ids_are_whole_words(self):
        _, tests = check_ids.check(self.root)
        self.assertEqual(tests, {
            'P1': ['P1_acknowledged_is_durable'], 'H2': ['torn_H2_L5_both'], 'L5': ['L5_by_a_macro', 'torn_H2_L5_both'],
            'GA': ['test_GA_change_splits_a_batch'], 'XH22': ['the_XH22_and_H222_and_H22'],
            'H222': ['the_XH22_and_H222_and_H22'],
        })

    def test_an_open_row_without_a_test_is_printed_and_passes(self):
        for arguments in ([], ['--strict']):
            status, lines = self.run_check(*arguments)
            self.assertEqual(status, 0)
            self.assertIn('docs/status.md:10: H22: no test', lines)
            self.assertIn('docs/status.md:1: H222: no row, but the_XH22_and_H222_and_H22 carries it', lines)
            self.assertEqual(lines[-1], '4 of 5 ids have a test')

    def test_a_row_claimed_done_without_a_test_fails_when_strict(self):
        self.write('docs/status.md', STATUS.replace('clock | open', 'clock | done'))
        self.assertEqual(self.run_check()[0], 0)
        status, lines = self.run_check('--strict')
        self.assertEqual(status, 1)
        self.assertIn('docs/status.md:10: H22: claimed done, but no test carries it', lines)

    def test_a_status_without_rows_fails_when_strict(self):
        self.write('docs/status.md', '# empty\n')
        self.assertEqual(self.run_check()[0], 0)
        self.assertEqual(self.run_check('--strict')[0], 1)
        (self.root / 'docs/status.md').unlink()
        self.assertEqual(self.run_check('--strict')[0], 1)


if __name__ == '__main__':
    unittest.main()
