#!/usr/bin/python3
"""Which promises, hazards, guards and log rules have a test that carries their id?

    check_ids.py [--strict] [ROOT]

Reads the table rows of docs/status.md whose first cell is an id (P1, H22, GA, L60, ...) and the names of all tests
under tests/. A test shows an id when its name holds `ID_` as a word of its own: H2_torn_tail_is_dropped,
test_GB_single_voter. Prints the ids without a test, and ids in names that status.md does not know.

Exits 0: it informs. With --strict it exits 1 when a row that claims `done` has no test, or docs/status.md has no rows.
"""
import pathlib
import re
import sys

ID = r'(?:[A-Z]{1,2}\d{1,3}|G[A-Z])'
FIRST_CELL = re.compile(r'\s*[*_`\[]*(' + ID + r')[*_`\]]*(?:\([^)]*\))?\s*$')
ID_IN_NAME = re.compile(r'(?:^|(?<=_))(' + ID + r')(?=_)')
C_COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
# Written out, or by the macro that makes three tests of a workload (tests/contract/log_items.h).
C_TEST = re.compile(r'\bvoid\s+(\w+)\s*\(\s*void\s*\*\*|^ITEMS_THREE_WAYS\((\w+)', re.MULTILINE)
PYTHON_TEST = re.compile(r'^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)[ \t]*\(', re.MULTILINE)
PYTHON_COMMENT = re.compile(r'#[^\n]*|"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'')


class Row:
    def __init__(self, name, line, cells):
        self.name, self.line = name, line
        self.done = any(re.match(r'[*_`]*done\b', cell.strip(), re.IGNORECASE) for cell in cells)


def rows_of(text):
    """The rows of all tables, by id; a row that comes again counts as done when any of them is."""
    rows = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith('|'):
            continue
        cells = re.split(r'(?<!\\)\|', line.strip().strip('|'))
        match = FIRST_CELL.match(cells[0])
        if match is None:
            continue
        row = Row(match[1], number, cells[1:])
        if row.name in rows:
            rows[row.name].done |= row.done
        else:
            rows[row.name] = row
    return rows


def test_names(root):
    """{test name: path} of everything under tests/."""
    names = {}
    for path in sorted((root / 'tests').rglob('*')):
        if path.suffix not in ('.c', '.h', '.py') or not path.is_file():
            continue
        text = path.read_text(encoding='utf-8', errors='replace')
        if path.suffix == '.py':
            found = PYTHON_TEST.findall(PYTHON_COMMENT.sub('', text))
        else:
            code = C_COMMENT.sub(' ', text)
            # Defined here and named again: only then does anything run it.
            found = [name for name in (''.join(pair) for pair in C_TEST.findall(code))
                     if len(re.findall(rf'\b{name}\b', code)) > 1]
        for name in found:
            names[name] = path.relative_to(root).as_posix()
    return names


def order(name):
    letters = name.rstrip('0123456789')
    return letters, int(name[len(letters):] or 0)


def check(root):
    """(rows, {id: [test names]}) of the project."""
    root = pathlib.Path(root)
    status = root / 'docs' / 'status.md'
    rows = rows_of(status.read_text(encoding='utf-8')) if status.is_file() else {}
    tests = {}
    for name in sorted(test_names(root)):
        for found in set(ID_IN_NAME.findall(name)):
            tests.setdefault(found, []).append(name)
    return rows, tests


def main(arguments):
    strict = '--strict' in arguments
    rest = [argument for argument in arguments if argument != '--strict']
    if len(rest) > 1 or any(argument.startswith('-') for argument in rest):
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(rest[0]) if rest else pathlib.Path(__file__).resolve().parent.parent
    rows, tests = check(root)
    if not rows:
        print('docs/status.md: no row starts with an id')
        return 1 if strict else 0
    missing = sorted((name for name in rows if name not in tests), key=order)
    for name in missing:
        claim = 'claimed done, but no test carries it' if rows[name].done else 'no test'
        print(f'docs/status.md:{rows[name].line}: {name}: {claim}')
    for name in sorted((name for name in tests if name not in rows), key=order):
        print(f'docs/status.md:1: {name}: no row, but {tests[name][0]} carries it')
    print(f'{len(rows) - len(missing)} of {len(rows)} ids have a test')
    return 1 if strict and any(rows[name].done for name in missing) else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
