"""The kernel says no: errors injected into the system calls of a log on the pwritev2 path, one call at a time, and writes
that end early. After the first failure nothing is acknowledged; what was acknowledged before is there."""
import collections
import re

import real
from real import FULL, NOT_OPENED, POISONED, WELL

# What each failing call may lead to. An error in the stream of writes is final; a file that cannot be made or removed is
# tried again, or refuses appends until there is room.
STREAM = {POISONED, NOT_OPENED}
FILES = {WELL, POISONED, NOT_OPENED, FULL}
FAULTS = (
    ('pwritev2', 'EIO', STREAM),
    ('pwritev2', 'ENOSPC', STREAM),
    ('pwrite64', 'EIO', FILES),
    ('pwrite64', 'ENOSPC', FILES),
    ('fdatasync', 'EIO', FILES),
    ('fsync', 'EIO', FILES),
    ('fallocate', 'EIO', FILES),
    ('fallocate', 'ENOSPC', FILES),
    ('rename', 'EIO', FILES),
    ('unlink', 'EIO', FILES),
    ('ftruncate', 'EIO', FILES),
    ('openat', 'EIO', FILES),
    ('openat', 'ENOSPC', FILES),
    ('openat', 'EMFILE', FILES),
)
WORKLOAD = ('--batches', '120', '--payload', '9000', '--width', '3')
CALLS_MAX = 400 if real.LARGE else 3


class Injection(real.TestCase):
    def strace(self, call, error, number):
        """(what the driver ended with, whether the call was reached)"""
        name = f'{call}.{error}.{number}'
        directory, notes, trace = (self.folder / f'{name}.{part}' for part in ('log', 'notes', 'trace'))
        done = self.driver('append', directory, notes, *WORKLOAD, '--seed', str(number),
                           before=('strace', '-f', '-qq', '-o', trace, '-e', f'trace={call}',
                                   '-e', f'inject={call}:error={error}:when={number}'))
        injected = '(INJECTED)' in trace.read_text(errors='replace')
        if injected and done.returncode in (WELL, POISONED, NOT_OPENED, FULL):
            self.check(directory, notes, *WORKLOAD, '--seed', str(number), when=name)
            self.verify(directory, when=name)
        return done, injected, notes.read_text() if notes.exists() else ''

    def first_call(self, call):
        """The loader opens files too; a failure there shows nothing."""
        if call != 'openat':
            return 1
        trace = self.folder / 'trace'
        self.driver('append', self.folder / 'first.log', self.folder / 'first.notes', *WORKLOAD,
                    before=('strace', '-f', '-qq', '-o', trace, '-e', 'trace=openat'))
        lines = trace.read_text(errors='replace').splitlines()
        return next(at for at, line in enumerate(lines, 1) if 'first.notes' in line and 'O_APPEND' in line) + 1

    def test_H1_L18_L20_L21_a_failing_call_is_final_or_leaves_no_trace(self):
        self.need('strace')
        ends = collections.Counter()
        for call, error, allowed in FAULTS:
            first = self.first_call(call)
            for number in range(first, first + CALLS_MAX):
                with self.subTest(call=call, error=error, number=number):
                    done, injected, notes = self.strace(call, error, number)
                    if not injected:
                        break
                    self.assertIn(done.returncode, allowed, done.stderr + done.stdout)
                    self.assertNotRegex(notes, re.compile(r'^fail(.|\n)*^ack', re.MULTILINE))
                    ends[done.returncode] += 1
            else:
                continue
            self.assertTrue(call not in ('pwritev2', 'fsync', 'fdatasync') or number > first, f'no {call} was reached')
        print(f'{sum(ends.values())} failing calls: {ends[POISONED]} poisoned, {ends[NOT_OPENED]} not opened, '
              f'{ends[FULL]} full, {ends[WELL]} without a trace')
        self.assertGreater(ends[POISONED], 0)
        self.assertGreater(ends[NOT_OPENED], 0)

    def test_L20_writes_that_end_early_are_continued(self):
        count = self.folder / 'count'
        environment = {'LD_PRELOAD': str(real.BUILD / 'libshort_writes.so'), 'SHORT_WRITES_COUNT': str(count)}
        for seed in range(1, 30 if real.LARGE else 4):
            directory, notes = self.folder / f'log.{seed}', self.folder / f'notes.{seed}'
            done = self.driver('append', directory, notes, *WORKLOAD, '--seed', str(seed), env=environment)
            self.assertEqual(done.returncode, WELL, done.stderr)
            self.assertEqual(self.check(directory, notes, *WORKLOAD, '--seed', str(seed)), 120)
            self.verify(directory)
        self.assertGreater(sum(map(int, count.read_text().split())), 10)


if __name__ == '__main__':
    real.exit_with_main()
