"""A device that is full, as ext4 and xfs know it: fill, refuse, free, go on; an end and an open while it is full; and an
open that finds no room at all. Nothing that was acknowledged is missing at any point."""
import os
import re
import subprocess

import real
from real import FULL, NOT_OPENED, WELL

ROUNDS = 12 if real.LARGE else 2
WORKLOAD = ('--width', '4', '--payload', '60000')
LEFT = (0, 4096, 300_000, 1_100_000, 2_500_000)  # what the ballast leaves: segments are 1 MiB


class FullDevice(real.TestCase):
    def fill(self, disk, left):
        """A file that takes all but `left` bytes."""
        ballast = disk / 'ballast'
        with open(ballast, 'ab') as file:
            for size in (1 << 20, 1 << 16, 4096):
                try:
                    while True:
                        start = os.fstat(file.fileno()).st_size
                        os.posix_fallocate(file.fileno(), start, size)
                except OSError:
                    pass
            os.ftruncate(file.fileno(), max(0, os.fstat(file.fileno()).st_size - left))
            os.fsync(file.fileno())
        return ballast

    def start(self, directory, notes, batches):
        return subprocess.Popen([real.BUILD / 'log_driver', 'append', directory, notes, *WORKLOAD,
                                 '--batches', str(batches)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def until_refused(self, process, notes, before):
        """Waits for a refusal beyond those in the notes; False when the process ended instead."""
        while process.poll() is None:
            if notes.exists() and notes.read_text().count('refused') > before:
                return True
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                pass
        return notes.read_text().count('refused') > before

    def scene(self, kind):
        disk = self.mount(self.make(kind), kind)
        directory, notes = disk / 'log', self.folder / 'notes'  # the notes have room
        self.assertEqual(self.driver('append', directory, notes, *WORKLOAD, '--batches', '5').returncode, WELL)
        refusals = went_on = not_opened = 0
        for number in range(ROUNDS * len(LEFT)):
            left = LEFT[number % len(LEFT)]
            when = f'{kind}: round {number}, {left} bytes left'
            ballast = self.fill(disk, left)
            before = notes.read_text().count('refused')
            process = self.start(directory, notes, 150)
            if self.until_refused(process, notes, before):
                refusals += 1
                if number % 2 == 0:
                    # Space comes back while it runs: it goes on.
                    ballast.unlink()
                    _, error = process.communicate('go\n' * 2000)
                    self.assertEqual(process.returncode, WELL, f'{when}: {error}')
                    went_on += 1
                else:
                    # It ends while the device is full, and somebody opens it then.
                    _, error = process.communicate()
                    self.assertEqual(process.returncode, FULL, f'{when}: {error}')
                    done = self.driver('check', directory, notes, *WORKLOAD)
                    self.assertIn(done.returncode, (WELL, NOT_OPENED), f'{when}: {done.stderr}')
                    if done.returncode == NOT_OPENED:
                        self.assertIn('ENOSPACE', done.stderr)
                        not_opened += 1
                    self.verify(directory, when)
            else:
                _, error = process.communicate()
                self.assertIn(process.returncode, (WELL, NOT_OPENED), f'{when}: {error}')
                if process.returncode == NOT_OPENED:
                    self.assertIn('ENOSPACE', error)
                    not_opened += 1
            ballast.unlink(missing_ok=True)
            self.check(directory, notes, *WORKLOAD, when=when)
        found = self.check(directory, notes, *WORKLOAD)
        self.verify(directory)
        print(f'{kind}: {refusals} refusals, {went_on} went on, {not_opened} opens without room, {found} batches')
        self.assertGreater(refusals, 0)
        self.assertGreater(went_on, 0)
        self.unmount(disk)
        place = self.mount(self.folder / f'{kind}.image', kind)
        self.assertEqual(self.check(place / 'log', notes, *WORKLOAD), found)

    def test_H6_L21_L22_L23_a_full_ext4(self):
        self.scene('ext4')

    def test_H6_L21_L22_L23_a_full_xfs(self):
        self.scene('xfs')


if __name__ == '__main__':
    real.exit_with_main()
