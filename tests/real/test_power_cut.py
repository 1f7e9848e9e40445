"""Power cuts as a real file system meets them. The log runs on ext4 or xfs on a disk that records every write and every
flush (recording_disk). Afterwards, for points of that recording: what a disk may hold when the power goes there is all
that was written before the last flush, and of what came later any of the pieces. Such an image is mounted, which replays
the file system's journal, the log is opened, and everything that was acknowledged before that point must be in it."""
import os
import random
import re
import struct
import subprocess
import time

import real
from real import WELL

CUTS = 400 if real.LARGE else 12
BATCHES = 400 if real.LARGE else 150
WORKLOAD = ('--width', '4', '--payload', '20000')
HEADER = struct.Struct('<IIQ')
WRITE, FLUSH, MARK = 1, 2, 3
MOUNT_SECONDS = 20


def records(path):
    """[(kind, offset, data)]"""
    found = []
    with open(path, 'rb') as file:
        while header := file.read(HEADER.size):
            kind, size, offset = HEADER.unpack(header)
            found.append((kind, offset, file.read(size)))
    return found


def keep(file, offset, data, rng):
    """Any of the pieces of a write that no flush followed."""
    piece = rng.choice((512, 4096))
    share = rng.choice((0.0, 0.5, 1.0, rng.random()))
    for at in range(0, len(data), piece):
        if rng.random() < share:
            os.pwrite(file, data[at:at + piece], offset + at)


class PowerCut(real.TestCase):
    def start_disk(self, image):
        """(the process, the folder with `disk` and `marks`)"""
        program = real.BUILD / 'recording_disk'
        if not program.exists():
            self.skipTest('recording_disk is not built: libfuse3-dev was missing (make setup)')
        place = self.folder / 'recorder'
        place.mkdir()
        process = subprocess.Popen([program, image, self.folder / 'recording', place], stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(run_away, process, place)
        for _ in range(MOUNT_SECONDS * 50):
            if place.is_mount():
                return process, place
            if process.poll() is not None:
                self.skipTest(f'no file system of a process can be mounted here: {process.stderr.read().strip()}')
            time.sleep(0.02)
        self.skipTest('no file system of a process can be mounted here')

    def copy(self, source, target):
        done = real.run('cp', '--sparse=always', source, target)
        self.assertEqual(done.returncode, 0, done.stderr)

    def record(self, kind, image):
        process, recorder = self.start_disk(image)
        disk = self.mount(recorder / 'disk', kind)
        done = self.driver('append', disk / 'log', recorder / 'marks', *WORKLOAD, '--batches', str(BATCHES))
        self.assertEqual(done.returncode, WELL, done.stderr)
        self.unmount(disk)
        done = real.run('umount', recorder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(process.wait(MOUNT_SECONDS), 0)
        return records(self.folder / 'recording')

    def replay(self, kind, number, base, later, marks):
        """Opens what a cut may leave behind; returns how many batches were found."""
        image, notes = self.folder / 'cut.image', self.folder / f'notes.{number}'
        self.copy(base, image)
        rng = random.Random(f'{kind} {number}')
        with open(image, 'r+b', buffering=0) as file:
            for offset, data in later:
                keep(file.fileno(), offset, data, rng)
        notes.write_text(marks)
        when = f'{kind}: cut at record {number}'
        place = self.mount(image, kind, 'cut')
        if list((place / 'log').glob('*.log')):
            self.verify(place / 'log', when)
        found = self.check(place / 'log', notes, *WORKLOAD, when=when)
        self.unmount(place)
        return found

    def scene(self, kind):
        image = self.make(kind)
        base = self.folder / 'base.image'
        self.copy(image, base)
        everything = self.record(kind, image)
        flushes = sum(what == FLUSH for what, _, _ in everything)
        first = next(at for at, (what, _, _) in enumerate(everything) if what == MARK)
        self.assertGreater(flushes, BATCHES // 20)
        rng = random.Random(kind)
        points = sorted(rng.sample(range(first // 2, len(everything)), min(CUTS, len(everything) - first // 2)))
        found, later, marks, acknowledged = [], [], '', 0
        with open(base, 'r+b', buffering=0) as file:
            for number, (what, offset, data) in enumerate(everything):
                if points and points[0] == number:
                    points.pop(0)
                    found.append(self.replay(kind, number, base, later, marks))
                if what == WRITE:
                    later.append((offset, data))
                elif what == FLUSH:
                    for at, bytes_ in later:
                        os.pwrite(file.fileno(), bytes_, at)
                    later = []
                else:
                    marks += data.decode()
                    acknowledged += data.startswith(b'ack')
        self.assertEqual(acknowledged, BATCHES)
        self.assertEqual(len(re.findall('^ack', marks, re.MULTILINE)), BATCHES)
        print(f'{kind}: {len(everything)} records, {flushes} flushes; {len(found)} cuts with {min(found)} to {max(found)} '
              f'of {BATCHES} batches')
        self.assertGreater(max(found), 0)

    def test_P1_L15_L48_power_cuts_on_ext4(self):
        self.scene('ext4')

    def test_P1_L15_L48_power_cuts_on_xfs(self):
        self.scene('xfs')


def run_away(process, place):
    real.run('umount', '-l', place)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stderr.close()


if __name__ == '__main__':
    real.exit_with_main()
