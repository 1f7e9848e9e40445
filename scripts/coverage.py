#!/usr/bin/python3
"""Line and branch coverage per room, from the counters that a coverage build left behind.

    coverage.py BUILD_DIR [--files] [--missing ROOM]

BUILD_DIR is a build with -DHF_COVERAGE=ON whose tests ran. Only src/ counts. A line counts as covered when any of the
programs ran it; a branch when it was taken and not only reached. Needs nothing but gcov of the compiler.
"""
import argparse
import collections
import json
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES_PER_CALL = 50


class Counts:
    def __init__(self):
        self.lines = {}     # line number: times
        self.branches = {}  # (line number, position on the line): times

    def add(self, line):
        number = line['line_number']
        self.lines[number] = self.lines.get(number, 0) + line['count']
        for position, branch in enumerate(line.get('branches', [])):
            # The edge to where an exception would go is none that C code has.
            if not branch.get('throw'):
                key = number, position
                self.branches[key] = self.branches.get(key, 0) + branch['count']


def gcov_documents(build):
    """The JSON documents that gcov makes of all counters below the build folder."""
    tool = shutil.which('gcov')
    if tool is None:
        raise SystemExit('error: gcov is missing; it comes with gcc')
    # The notes, not the counters: what no program ever ran has no counters, and counts as not covered.
    notes = sorted(map(str, build.rglob('*.gcno')))
    if next(build.rglob('*.gcda'), None) is None:
        raise SystemExit(f'error: no counters in {build}\n  next: make coverage')
    for at in range(0, len(notes), FILES_PER_CALL):
        done = subprocess.run([tool, '--json-format', '--branch-counts', '--branch-probabilities', '--stdout',
                               *notes[at:at + FILES_PER_CALL]], cwd=build, capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise SystemExit(f'error: gcov: {done.stderr.strip()}')
        for line in done.stdout.splitlines():
            if line.startswith('{'):
                yield json.loads(line)


def measure(build):
    """{path below the root: Counts} of the files in src/."""
    files = collections.defaultdict(Counts)
    for document in gcov_documents(build):
        folder = pathlib.Path(document.get('current_working_directory', build))
        for file in document['files']:
            path = (folder / file['file']).resolve()
            if not path.is_relative_to(ROOT / 'src'):
                continue
            for line in file['lines']:
                files[path.relative_to(ROOT).as_posix()].add(line)
    return files


def share(values):
    """(covered, all)"""
    return sum(value > 0 for value in values), len(values)


def row(name, counts):
    lines = share([value for one in counts for value in one.lines.values()])
    branches = share([value for one in counts for value in one.branches.values()])

    def percent(covered, total):
        return f'{100 * covered / total:5.1f} %' if total else '      –'
    return (f'{name:34} {percent(*lines)} {lines[0]:7} of {lines[1]:<7} '
            f'{percent(*branches)} {branches[0]:7} of {branches[1]}')


def print_missing(files, room):
    """Every line of the room with a branch that no program took, as `file:line: taken of all: text`."""
    for path in sorted(files):
        if path.split('/')[1] != room:
            continue
        text = (ROOT / path).read_text().splitlines()
        lines = collections.defaultdict(list)
        for (number, _), count in files[path].branches.items():
            lines[number].append(count)
        for number in sorted(lines):
            taken, total = share(lines[number])
            if taken < total:
                print(f'{path}:{number}: {taken} of {total}: {text[number - 1].strip()}')


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build', nargs='?', default=ROOT / 'build' / 'coverage', type=pathlib.Path)
    parser.add_argument('--files', action='store_true', help='a row for every file too')
    parser.add_argument('--missing', metavar='ROOM', help='the lines of a room with branches that were not taken')
    options = parser.parse_args(arguments)
    files = measure(options.build.resolve())
    if options.missing:
        print_missing(files, options.missing)
        return 0
    rooms = collections.defaultdict(dict)
    for path, counts in files.items():
        rooms[path.split('/')[1]][path] = counts
    print(f'{"room":34} {"lines":>7} {"":19}{"branches":>8}')
    for room in sorted(rooms):
        print(row(room, rooms[room].values()))
        for path in sorted(rooms[room]) if options.files else []:
            print(row(f'  {path.split("/", 2)[2]}', [rooms[room][path]]))
    print(row('all', files.values()))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
