"""What the tests on real files and devices share: the driver, a folder of their own, small file systems, skips that count.

HOLDFAST_TEST_BUILD names the build folder. With HOLDFAST_TEST_SCALE=large the tests take minutes (`make test-real`),
otherwise at most about twenty seconds each.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get('HOLDFAST_TEST_BUILD', ROOT / 'build' / 'release')).resolve()
LARGE = os.environ.get('HOLDFAST_TEST_SCALE') == 'large'
SKIPPED = 77  # what ctest counts as skipped
DEVICE_MIB = {'ext4': 48, 'xfs': 320}  # sparse; mkfs.xfs refuses less
PATIENCE_SECONDS = 300

WELL, BROKEN, POISONED, NOT_OPENED, FULL = 0, 1, 3, 4, 5


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False,
                          timeout=PATIENCE_SECONDS, **options)


class TestCase(unittest.TestCase):
    def setUp(self):
        # Not in /tmp, which may be in memory: these tests want a device.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='real.', dir=BUILD))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def driver(self, action, directory, notes, *more, before=(), **options):
        return run(*before, BUILD / 'log_driver', action, directory, notes, *more, stdin=subprocess.DEVNULL, **options)

    def check(self, directory, notes, *more, when=''):
        """Everything that the notes promise is there; returns how many batches."""
        done = self.driver('check', directory, notes, *more)
        self.assertEqual(done.returncode, WELL, f'{when}: {done.stderr}{done.stdout}')
        return int(re.search(r'found (\d+)', done.stdout)[1])

    def verify(self, directory, when=''):
        done = run(BUILD / 'holdfast', 'log', 'verify', directory)
        self.assertEqual(done.returncode, 0, f'{when}: {done.stdout}{done.stderr}')

    def need(self, *programs):
        for program in programs:
            if shutil.which(program) is None:
                self.skipTest(f'{program} is missing (make setup)')

    def make(self, kind):
        """An empty file system of the kind in a sparse file."""
        image = self.folder / f'{kind}.image'
        with open(image, 'wb') as file:
            file.truncate(DEVICE_MIB[kind] << 20)
        command = {'ext4': ('mkfs.ext4', '-q', '-F', '-m', '0'), 'xfs': ('mkfs.xfs', '-q')}[kind]
        self.need(command[0])
        done = run(*command, image)
        self.assertEqual(done.returncode, 0, done.stderr)
        return image

    def mount(self, image, kind, name='disk'):
        """Mounts until the test ends or unmount is called; skips the test where that is not possible."""
        if os.geteuid() != 0:
            self.skipTest('only root can mount a file system')
        place = self.folder / name
        place.mkdir(exist_ok=True)
        done = run('mount', '-t', kind, '-o', 'loop', image, place)
        if done.returncode != 0:
            self.skipTest(f'a file system in a file cannot be mounted here: {done.stderr.strip()}')
        self.addCleanup(run, 'umount', '-l', place)
        return place

    def unmount(self, place):
        done = run('umount', place)
        self.assertEqual(done.returncode, 0, done.stderr)


def main():
    """As unittest.main, but a run in which something was skipped says what, and one that showed nothing counts as
    skipped."""
    result = unittest.main(exit=False).result
    for test, reason in result.skipped:
        print(f'SKIPPED: {test.id()}: {reason}')
    if not result.wasSuccessful():
        return 1
    return SKIPPED if len(result.skipped) == result.testsRun else 0


def exit_with_main():
    sys.exit(main())
