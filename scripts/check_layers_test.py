#!/usr/bin/python3
"""Plants violations in a small tree and expects check_layers.py to find each, and nothing else."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

import check_layers

TABLE = '''
hf_room(base    ""            "isal;threads")
hf_room(io      "base"        "uring")
hf_room(net     "base;io"     "uv")
hf_room(log     "base;io"     "")
hf_room(replica "log"         "raft")
hf_room(server  "replica"     "microhttpd")
hf_room(cli     "server"      "uv")
'''

# A tree in which nothing is wrong; every planted file below is laid over it.
CLEAN = {
    'cmake/rooms.cmake': TABLE,
    'include/holdfast/error.h': '#include <stdint.h>\nint hf_error_text(void);\n',
    'include/holdfast/log.h': '#include "holdfast/error.h"\nint hf_log_append(void);\n',
    'src/base/README.md': '# base\nPrefixes: memory_ `text_`\n',
    'src/base/error.h': '#include "holdfast/error.h"\nint error_raise(int code);\n',
    'src/base/error.c': '#include "base/error.h"\n#include <pthread.h>\n#include <isa-l/crc.h>\n'
                        'int error_raise(int code)\n{\n    return code;\n}\n'
                        'int hf_error_text(void)\n{\n    fprintf(stderr, "x");\n    return 0;\n}\n'
                        'void *memory_new(void)\n{\n    return 0;\n}\n',
    'src/base/mutex.c': 'int mutex_wait(void)\n{\n    return clock_gettime(1, 0);\n}\n',
    'src/io/README.md': '# io\n',
    'src/io/file_kernel.h': '#include "base/error.h"\nint file_kernel_open(void);\n',
    'src/io/file_kernel.c': '#include "io/file_kernel.h"\n#include <liburing.h>\n'
                            'int file_kernel_open(void)\n{\n    pthread_create(0, 0, 0, 0);\n'
                            '    return open("x", 0) + fsync(3) + usleep(1);\n}\n',
    'src/net/README.md': '# net\n',
    'src/net/loop.h': '#include "io/file_kernel.h"\n',
    'src/net/loop.c': '#include <uv.h>\nint loop_run(void)\n{\n    return uv_run(0, 0);\n}\n',
    'src/log/README.md': '# log\nDoors: log.h reader.h\n',
    'src/log/log.h': '#include "holdfast/log.h"\n#include "io/file_kernel.h"\n',
    'src/log/reader.h': 'struct reader;\n',
    'src/log/segment.h': 'struct segment {\n    int (*open)(void);\n    int (*read)(void *target);\n};\n',
    'src/log/segment.c': '#include "log/segment.h"\n#include "log/reader.h"\n'
                         '/* open() and "TO" "DO" in a comment are fine; so is pthread_create( here. */\n'
                         'static const char *const names[] = {"open(", "}", \'{\', "uv_thread"};\n'
                         'static int helper(struct segment *s, int (*each)(void *arg))\n{\n'
                         '    return s->open() + segment.read(s) + segment_read(s) + each("time(");\n}\n'
                         'int segment_seal(struct segment *s)\n{\n    return helper(s, 0);\n}\n'
                         'int hf_log_append(void)\n{\n    return 0;\n}\n',
    'src/replica/README.md': '# replica\n',
    'src/replica/replica.h': '#include "log/log.h"\n#include "log/reader.h"\n',
    'src/replica/guard.c': '#include <raft.h>\n#include "base/error.h"\nint guard(void)\n{\n    return 0;\n}\n',
    'src/cli/README.md': '# cli\n',
    'src/cli/verb.c': '#include "replica/replica.h"\n'
                      'int verb_run(void)\n{\n    if (isatty(1) && fork() == 0) {\n        execvp("x", 0);\n    }\n'
                      '    printf("x");\n'
                      '    return (int)read(STDIN_FILENO, 0, 0) + (int)write(1, 0, 0) + waitpid(0, 0, 0);\n}\n',
    'tests/unit/log/test_segment.c': '#include "log/segment.h"\nint main(void)\n{\n    return open("x", 0);\n}\n',
}


def function_of(line_count, name='segment_long'):
    return f'int {name}(void)\n{{\n' + '    work();\n' * (line_count - 3) + '}\n'


# (rule, path, line, what the file holds, or None to remove it)
PLANTED = [
    ('table', 'cmake/rooms.cmake', 9, TABLE + 'hf_room(store "disk" "")\n'),
    ('table', 'cmake/rooms.cmake', 9, TABLE + 'hf_room(log "base" "")\n'),
    ('table', 'cmake/rooms.cmake', 1, '# nothing\n'),
    ('table', 'src/stray.c', 1, 'int stray;\n'),
    ('readme', 'src/io/README.md', None, None),
    ('readme', 'src/log/README.md', 1, 'Doors: log.h reader.h missing.h\n'),
    ('include-form', 'src/log/index.c', 1, '#include "segment.h"\n'),
    ('include-form', 'src/log/index.c', 2, '\n#  include "../base/error.h"\n'),
    ('include-form', 'src/log/index.c', 1, '#include "unknown/x.h"\n'),
    ('layer', 'src/log/index.c', 1, '#include "replica/replica.h"\n'),
    ('layer', 'src/log/index.c', 1, '#include "net/loop.h"\n'),
    ('layer', 'src/base/index.c', 1, '#include "holdfast/log.h"\n'),
    ('layer', 'include/holdfast/error.h', 1, '#include "holdfast/log.h"\n'),
    ('private-header', 'src/replica/index.c', 1, '#include "log/segment.h"\n'),
    ('private-header', 'src/log/README.md', None, '# log\nDoors: log.h\n'),
    ('public-header', 'include/holdfast/log.h', 1, '#include "log/log.h"\nint hf_log_append(void);\n'),
    ('public-header', 'include/holdfast/stray.h', 1, 'int hf_stray(void);\n'),
    ('public-header', 'src/log/index.c', 1, '#include "holdfast/gone.h"\n'),
    ('library', 'src/log/index.c', 1, '#include <uv.h>\n'),
    ('library', 'src/cli/index.c', 1, '#include <uv.h>\n'),  # although the table lists it: uv is net's alone
    ('library', 'src/server/index.c', 1, '#include <raft.h>\n'),
    ('library', 'src/log/index.c', 1, '#include <isa-l/crc.h>\n'),
    ('library', 'src/log/index.c', 1, '#include <liburing.h>\n'),
    ('thread', 'src/log/index.c', 1, '#include <pthread.h>\n'),
    ('thread', 'src/log/index.c', 1, '#include <threads.h>\n'),
    ('thread', 'src/log/index.c', 3, 'int index_run(void)\n{\n    return pthread_create(0, 0, 0, 0);\n}\n'),
    ('thread', 'src/net/index.c', 1, 'static uv_thread_t thread;\n'),
    ('thread', 'src/log/index.c', 1, 'static mtx_t lock;\nint index_run(void)\n{\n    return mtx_lock(&lock);\n}\n'),
    ('print', 'src/log/index.c', 3, 'int index_run(void)\n{\n    fprintf(stderr, "bad");\n    return 0;\n}\n'),
    ('file-name', 'src/replica/segment.c', 1, 'int segment_x(void);\n'),
    ('long-line', 'src/log/index.c', 2, '\n/* ' + 'x' * 115 + ' */\n'),
    ('long-line', 'tests/unit/log/test_index.c', 1, '/* ' + 'x' * 115 + ' */\n'),
    ('long-line', 'src/log/index.c', 1, '/* ' + 'é' * 115 + ' */\n'),
    ('long-file', 'src/log/index.c', 901, '\n' * 901),
    ('long-function', 'src/log/segment.c', 1, function_of(91)),
    ('long-function', 'src/log/index.h', 1, function_of(91, 'static inline index_x')),
    ('warning-long-function', 'src/log/segment.c', 1, function_of(71)),
    ('warning-long-function', 'src/log/segment.c', 1, function_of(90)),
    ('mark', 'src/log/index.c', 1, '/* TO' + 'DO: later */\n'),
    ('mark', 'scripts/run.py', 2, '\n# FIX' + 'ME\n'),
    ('mark', 'tests/unit/log/test_index.c', 1, '/* X' + 'XX */\n'),
    ('mark', 'include/holdfast/log.h', 1, '/* HA' + 'CK */\n'),
    ('prefix', 'src/log/segment.c', 1, 'int seal(void)\n{\n    return 0;\n}\n'),
    ('prefix', 'src/log/segment.c', 1, 'int segmentation(void)\n{\n    return 0;\n}\n'),
    ('prefix', 'src/log/segment.c', 1, 'int hf_disk_open(void)\n{\n    return 0;\n}\n'),
    ('prefix', 'src/log/segment.c', 1, 'void *memory_new(void) { return 0; }\n'),  # documented for base only
    ('prefix', 'src/log/segment.c', 4, 'STAMP(x)\n#define F(y) { \\\n    (y)\n__attribute__((format(printf, 1, 2))) '
                                       'int seal(int (*each)(void), const char *text)\n{\n    return 0;\n}\n'),
    ('prefix', 'src/log/segment.c', 2, 'extern "C" {\nint seal(void)\n{\n    return 0;\n}\n}\n'),
    ('parse', 'src/log/segment.c', 1, 'int segment_seal(void)\n{\n    return 0;\n'),
    ('parse', 'src/log/segment.c', 1, '}\n'),
]

for call in ('open("x", 0)', 'openat(0, "x", 0)', 'read(0, 0, 0)', 'write(1, 0, 0)', 'pread(0, 0, 0, 0)',
             'pwrite(0, 0, 0, 0)', 'fsync(0)', 'fdatasync(0)', 'rename("a", "b")', 'unlink("a")', 'socket(0, 0, 0)',
             'connect(0, 0, 0)', 'accept(0, 0, 0)', 'clock_gettime(0, 0)', 'gettimeofday(0, 0)', 'time(NULL)', 'rand()',
             'srand(1)', 'random()', 'getrandom(0, 0, 0)', 'usleep(1)', 'sleep(1)', 'nanosleep(0, 0)', 'fork()',
             'isatty(1)', 'kill(1, 2)', 'fopen("x", "r")', 'getenv("X")', 'open ("x", 0)', 'mmap(0, 1, 0, 0, 0, 0)'):
    PLANTED.append(('raw-call', 'src/log/index.c', 3, f'int index_run(void)\n{{\n    return {call};\n}}\n'))
for path, call in (('src/cli/index.c', 'open("x", 0)'), ('src/cli/index.c', 'read(file, 0, 0)'),
                   ('src/cli/index.c', 'usleep(1)'), ('src/cli/index.c', 'time(NULL)'),
                   ('src/net/index.c', 'socket(0, 0, 0)'), ('src/base/index.c', 'clock_gettime(0, 0)'),
                   ('src/base/mutex.c', 'open("x", 0)')):
    stem = pathlib.PurePath(path).stem
    PLANTED.append(('raw-call', path, 3, f'int {stem}_run(void)\n{{\n    return {call};\n}}\n'))
PLANTED.append(('raw-call', 'src/log/index.c', 2, '\n#define NOW() time(NULL)\n'))


class Tree(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.addCleanup(self.folder.cleanup)
        for path, text in CLEAN.items():
            self.write(path, text)

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding='utf-8')

    def plant(self, path, text):
        if text is None:
            (self.root / path).unlink()
        else:
            self.write(path, text)
        # A new room needs its README; that is not what is planted here.
        if path.startswith('src/server/'):
            self.write('src/server/README.md', '# server\n')

    def restore(self, path):
        if path in CLEAN:
            self.write(path, CLEAN[path])
        else:
            (self.root / path).unlink()

    def test_the_clean_tree_has_no_finding(self):
        self.assertEqual([str(finding) for finding in check_layers.check(self.root)], [])

    def test_every_planted_violation_is_found_where_it_is(self):
        for rule, path, line, text in PLANTED:
            with self.subTest(rule=rule, path=path, text=(text or '')[:80]):
                self.plant(path, text)
                findings = check_layers.check(self.root)
                self.restore(path)
                hits = [finding for finding in findings if finding.rule == rule]
                self.assertTrue(hits, [str(finding) for finding in findings])
                if line is not None:
                    self.assertIn((path, line), [(finding.path, finding.line) for finding in hits])
                # Nothing else is blamed; without its table a tree has no rooms at all.
                if text != '# nothing\n':
                    self.assertEqual({finding.rule for finding in findings}, {rule})

    def test_every_rule_is_planted(self):
        self.assertEqual({row[0] for row in PLANTED}, set(check_layers.RULES))

    def test_a_room_outside_the_table_is_found(self):
        self.write('src/attic/old.c', 'int old_x;\n')
        self.assertEqual([finding.rule for finding in check_layers.check(self.root)], ['table'])

    def test_limits_themselves_are_allowed(self):
        self.write('src/log/index.c', '/* ' + 'x' * 114 + ' */\n' + '\n' * 899)
        self.write('src/log/segment.c', function_of(70))
        self.assertEqual([str(finding) for finding in check_layers.check(self.root)], [])

    def run_program(self):
        script = pathlib.Path(check_layers.__file__)
        command = [sys.executable, str(script), str(self.root)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_the_program_prints_findings_and_exits_by_them(self):
        self.assertEqual((self.run_program().returncode, self.run_program().stdout), (0, ''))
        self.write('src/log/segment.c', function_of(71))
        warned = self.run_program()
        self.assertEqual(warned.returncode, 0)
        self.assertIn('src/log/segment.c:1: warning-long-function: segment_long has 71 lines', warned.stdout)
        self.write('src/log/index.c', '#include <uv.h>\n')
        failed = self.run_program()
        self.assertEqual(failed.returncode, 1)
        self.assertIn('src/log/index.c:1: library: <uv.h> is not for log\n', failed.stdout)


if __name__ == '__main__':
    unittest.main()
