"""kill -9 at any time: what was acknowledged is there, whatever the process was doing, under both ways to the kernel."""
import random
import re
import signal
import subprocess
import time

import real
from real import NOT_OPENED, WELL

ROUNDS = 400 if real.LARGE else 40
WORKLOAD = ('--width', '8', '--payload', '6000')


class Kill(real.TestCase):
    def survive(self, io):
        rng = random.Random(io)
        directory, notes = self.folder / 'log', self.folder / 'notes'
        killed = found = 0
        for number in range(ROUNDS):
            process = subprocess.Popen([real.BUILD / 'log_driver', 'append', directory, notes, *WORKLOAD,
                                        '--batches', '100000', '--io', io],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(rng.choice((0.01, 0.05, 0.3)) * rng.random())
            process.send_signal(signal.SIGKILL)
            _, error = process.communicate()
            self.assertIn(process.returncode, (-signal.SIGKILL, WELL), error)
            killed += process.returncode == -signal.SIGKILL
            if number % 3 == 0:  # the others are opened by the next process alone
                if list(directory.glob('*.log')):  # as the killed process left it
                    self.verify(directory, f'round {number}')
                found = self.check(directory, notes, *WORKLOAD, when=f'round {number}')
        self.assertGreater(killed, ROUNDS // 2)
        self.verify(directory)
        found = self.check(directory, notes, *WORKLOAD, when='the end')
        self.assertGreater(found, ROUNDS)
        print(f'{io}: {killed} kills, {found} batches')

    def test_P1_L15_L55_kill_on_the_pwritev2_path(self):
        self.survive('threads')

    def test_P1_L15_L55_kill_on_the_io_uring_path(self):
        done = self.driver('append', self.folder / 'try', self.folder / 'try.notes', '--io', 'uring', '--batches', '1')
        if done.returncode == NOT_OPENED and re.search('EUNSUPPORTED', done.stderr):
            self.skipTest('io_uring is not allowed here')
        self.survive('uring')


if __name__ == '__main__':
    real.exit_with_main()
