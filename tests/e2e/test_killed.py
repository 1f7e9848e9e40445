"""A test that is killed, as one at its time limit is, leaves no process behind."""
import json
import os
import pathlib
import signal
import subprocess
import sys

import cluster

TEST = '''
import json, time, cluster
dev = cluster.Dev(nodes=2, groups=1)
print(json.dumps([dev.pid, *cluster.children_of(dev.pid)]), flush=True)
time.sleep(600)
'''


class Killed(cluster.TestCase):
    def wait_for_the_end_of(self, pids):
        try:
            cluster.wait_until(lambda: not any(map(cluster.process_exists, pids)), f'{pids} ended', seconds=30)
        except AssertionError:
            for pid in filter(cluster.process_exists, pids):
                os.kill(pid, signal.SIGKILL)
            raise

    def end_by(self, number):
        """Starts a test, ends it by that signal, and waits for the end of all that it started."""
        environment = {**os.environ, 'TMPDIR': str(self.folder()), 'PYTHONPATH': str(pathlib.Path(__file__).parent)}
        with subprocess.Popen([*cluster.MORTAL, sys.executable, '-c', TEST], env=environment,
                              stdout=subprocess.PIPE) as test:
            pids = json.loads(test.stdout.readline())
            self.assertEqual(len(pids), 3)
            self.assertTrue(all(map(cluster.process_exists, pids)))
            test.send_signal(number)
        self.assertEqual(test.returncode, -number)
        self.wait_for_the_end_of(pids)

    def test_its_cluster_dies_with_a_test_that_is_killed(self):
        self.end_by(signal.SIGKILL)

    def test_its_cluster_dies_with_a_test_that_is_told_to_end(self):
        self.end_by(signal.SIGTERM)


if __name__ == '__main__':
    cluster.main()
