"""What operators look at: status, log dump and verify, /health, /metrics, config, completion, man."""
import base64
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
import unittest

import cluster
from cluster import Dev, Status

dev = None


def setUpModule():
    global dev
    dev = Dev('--no-restart', env={**cluster.STEADY, 'HOLDFAST_LOG_SEGMENT_SIZE': '1MiB'})
    unittest.addModuleCleanup(dev.discard)
    dev.wait_writable()
    dev.wait_settled()


def data_folder(cluster_of, number):
    """The data directory of a node of a `dev` without --data."""
    (folder,) = os.listdir(cluster_of.temporary)
    return cluster_of.temporary / folder / f'node{number}'


def fetch(address, path, method='GET'):
    request = urllib.request.Request(f'http://{address}{path}', method=method)
    try:
        with urllib.request.urlopen(request, timeout=cluster.PATIENCE_SECONDS) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def health(address):
    """The status code of /health, None while nobody answers."""
    try:
        return fetch(address, '/health')[0]
    except OSError:
        return None


class StatusVerb(cluster.TestCase):
    def test_status_shows_every_node_and_group_as_json(self):
        for number in (1, 3):
            done = cluster.run('status', '--address', dev.address(number), '--json')
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            nodes = json.loads(done.stdout)['nodes']
            self.assertEqual(sorted(node['node'] for node in nodes), [1, 2, 3])
            for node in nodes:
                self.assertEqual(node['pid'], dev.nodes[node['node'] - 1]['pid'])
                self.assertEqual([group['group'] for group in node['groups']], [1, 2, 3, 4, 5])
                for group in node['groups']:
                    for key in ('role', 'leader', 'term', 'commit', 'applied', 'last', 'lag', 'log_bytes'):
                        self.assertIn(key, group)
                    self.assertGreaterEqual(group['last'], group['commit'])
                    self.assertGreaterEqual(group['term'], 1)
                    self.assertEqual(sorted(group['members']), [1, 2, 3])
            for group in range(1, 6):
                roles = [row['role'] for node in nodes for row in node['groups'] if row['group'] == group]
                self.assertEqual(sorted(roles), ['follower', 'follower', 'leader'])

    def test_status_as_text_names_nodes_and_roles(self):
        done = cluster.run('status', '--address', dev.address(2))
        self.assertEqual(done.returncode, 0, done.stderr)
        for word in ('node 1', 'node 2', 'node 3', 'leader', 'follower', str(dev.nodes[1]['pid'])):
            self.assertIn(word, done.stdout)

    def test_nobody_there_exits_with_3(self):
        done = cluster.run('status', '--address', f'127.0.0.1:{cluster.free_ports()}')
        self.assertEqual((done.returncode, done.stdout), (3, ''))

    def test_without_a_quorum_status_exits_with_5(self):
        alone = self.open(Dev, '--no-restart', groups=1)
        for number in (2, 3):
            alone.kill_node(number)

        def deposed():
            done = cluster.run('status', '--address', alone.address(1), '--json')
            return done if done.returncode == 5 else None
        done = cluster.wait_until(deposed, 'the node that is left no longer leads', pause=0.2)
        self.assertIn('no leader', done.stderr)
        down = [node for node in json.loads(done.stdout)['nodes'] if 'error' in node]
        self.assertEqual(sorted(node['node'] for node in down), [2, 3])


class Log(cluster.TestCase):
    def dump(self, *arguments):
        done = cluster.run('log', 'dump', '--json', *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_dump_and_verify_beside_a_running_server(self):
        with dev.client() as client:
            for i in range(50):
                self.assertEqual(client('SET', f'dumped:{i}', 'treasure' * 3), Status('OK'))
        folder = data_folder(dev, 1)

        # The server writes when it likes: whoever reads has changed nothing, once nothing changed around it.
        def nothing_changes():
            before = self.times_of(folder / 'log')
            self.check_dump_and_verify(folder)
            return self.times_of(folder / 'log') == before
        cluster.wait_until(lambda: self.holds(folder, 'treasure'), 'the values are in the log of node 1')
        cluster.wait_until(nothing_changes, 'dump and verify leave the log as it is')

    @staticmethod
    def times_of(folder):
        return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

    def holds(self, folder, text):
        return any(text in record.get('payload', '') for record in self.dump(folder))

    def check_dump_and_verify(self, folder):
        records = self.dump(folder)
        self.assertEqual(records[-1]['kind'], 'summary')
        self.assertEqual(records[-1]['damaged'], 0)
        self.assertEqual(records[-1]['records'], len(records) - 1)
        found = [record for record in records if 'treasure' in record.get('payload', '')]
        self.assertGreater(len(found), 0)
        group = found[0]['group']
        only = self.dump(folder, '--group', group, '--from', found[0]['index'], '--to', found[0]['index'])
        entries = [record for record in only if record['kind'] == 'append']
        self.assertEqual({(record['group'], record['index']) for record in entries}, {(group, found[0]['index'])})
        for where in (folder, folder / 'log'):
            done = cluster.run('log', 'verify', where)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn('good', done.stdout)

    def read(self, verb, *arguments):
        done = cluster.run('log', verb, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_stat_shows_what_each_group_holds_beside_a_running_server(self):
        (line,) = self.read('stat', data_folder(dev, 1), '--json').stdout.splitlines()
        stat = json.loads(line)
        self.assertEqual([group['group'] for group in stat['groups']], [1, 2, 3, 4, 5])
        self.assertEqual((stat['damaged_groups'], stat['segments'] > 0), (0, True))
        for group in stat['groups']:
            self.assertGreaterEqual(group['last'], group['commit'])
            self.assertGreaterEqual(group['term'], 1)
        text = self.read('stat', data_folder(dev, 1), '--group', 2).stdout
        self.assertEqual(len(text.splitlines()), 4)
        self.assertIsNone(stat['stages'])
        self.assertIn('stages: none in files', text)
        self.assertEqual(cluster.run('log', 'stat', data_folder(dev, 1), '--group', 99).returncode, 3)

    def test_stat_asks_a_running_node_where_the_time_of_its_log_goes(self):
        names = ['queue', 'encode', 'write', 'sync', 'index', 'callback']
        with dev.client(1) as client:
            for i in range(200):
                client('SET', f'timed:{i}', 'x')
        address = dev.address(1)
        stat = json.loads(self.read('stat', data_folder(dev, 1), '--address', address, '--json').stdout)
        self.assertEqual([group['group'] for group in stat['groups']], [1, 2, 3, 4, 5])
        self.assertEqual([stage['stage'] for stage in stat['stages']], names)
        write = stat['stages'][2]
        self.assertGreater(write['count'], 0)
        self.assertLessEqual(write['min_ns'], write['p50_ns'])
        self.assertLessEqual(write['p50_ns'], write['p90_ns'])
        counts = [bar['count'] for bar in write['histogram']]
        bounds = [bar['below_ns'] for bar in write['histogram']]
        self.assertEqual((counts, bounds), (sorted(counts), sorted(bounds)))
        self.assertEqual(counts[-1], write['count'])
        alone = self.read('stat', '--address', address).stdout.splitlines()
        self.assertEqual([line.split()[0] for line in alone], ['stage'] + names)
        self.assertEqual(len(self.read('stat', '--address', address, '--quiet').stdout.splitlines()), len(names))
        self.assertEqual(cluster.run('log', 'stat').returncode, 2)
        self.assertEqual(cluster.run('log', 'stat', '--address', f'127.0.0.1:{cluster.free_ports()}').returncode, 3)

    def test_export_loses_nothing_in_either_format(self):
        with dev.client() as client:
            self.assertEqual(client('SET', 'exported', b'\x00\xff\r\n' * 40), Status('OK'))
        folder = data_folder(dev, 1)

        def exported():
            lines = [json.loads(line) for line in self.read('export', folder, '--quiet').stdout.splitlines()]
            found = {(line['group'], line['index']): base64.b64decode(line['payload']) for line in lines}
            self.assertEqual(len(found), len(lines))
            return found if any(b'\x00\xff\r\n' * 40 in payload for payload in found.values()) else None
        payloads = cluster.wait_until(exported, 'the value is in the log of node 1')
        raw = subprocess.run([cluster.BINARY, 'log', 'export', folder, '--format', 'raw'], capture_output=True,
                             check=True, timeout=30)
        self.assertEqual(raw.stdout[:16], b'HFEXPORT\x01\0\0\0\0\0\0\0')
        at, found = 16, []
        while True:
            group, index, term, timestamp, kind, size = struct.unpack_from('<QQQQII', raw.stdout, at)
            if group == 0:
                self.assertEqual(index, len(found))
                break
            found.append((group, index, term, timestamp, raw.stdout[at + 40:at + 40 + size]))
            at += 40 + size + 4
        self.assertEqual(at + 44, len(raw.stdout))
        for group, index, term, timestamp, payload in found:
            if (group, index) in payloads:
                self.assertEqual(payloads[group, index], payload)
        self.assertGreaterEqual(len(found), len(payloads))
        some = self.read('export', folder, '--group', 1, '--from', 2, '--to', 3).stdout.splitlines()
        self.assertEqual([json.loads(line)['index'] for line in some], [2, 3])
        self.assertEqual(cluster.run('log', 'export', folder, '--format', 'xml').returncode, 2)
        progress = self.read('export', folder, '--progress', 'json').stderr.splitlines()
        self.assertIn('export', progress[0])

    def test_digests_of_a_range_are_equal_on_every_replica(self):
        with dev.client() as client:
            for i in range(40):
                self.assertEqual(client('SET', f'compared:{i}', 'same' * i), Status('OK'))
        for group in range(1, 6):
            def common(group=group):
                stat = [json.loads(self.read('stat', data_folder(dev, node), '--json', '--group', group).stdout)
                        ['groups'][0] for node in (1, 2, 3)]
                low, high = max(row['first'] for row in stat), min(row['commit'] for row in stat)
                return (low, high) if low <= high else None
            low, high = cluster.wait_until(common, f'the logs of group {group} have something in common')
            digests = {self.read('digest', data_folder(dev, node), '--group', group, '--from', low, '--to',
                                 high).stdout.split()[0] for node in (1, 2, 3)}
            for node in (1, 2, 3):
                with dev.client(node) as client:
                    digests.add(client('RAFT.LOG', group, 'DIGEST', low, high).decode())
            self.assertEqual(len(digests), 1, digests)
            (digest,) = digests
            self.assertRegex(digest, '^[0-9a-f]{32}$')
        self.assertEqual(cluster.run('log', 'digest', data_folder(dev, 1), '--group', 1, '--to', 10 ** 9).returncode, 1)
        with dev.client() as client:
            for arguments in (('DIGEST',), ('DIGEST', 5, 4), ('DIGEST', 0, 4), ('DIGEST', 1, 10 ** 9)):
                self.assertIsInstance(client('RAFT.LOG', 1, *arguments), cluster.ReplyError, arguments)

    def test_tail_follows_what_is_appended(self):
        folder = data_folder(dev, 1)
        with dev.client() as client:
            client('SET', 'tailed', 'before')
            tail = cluster.start('log', 'tail', folder, '--follow', '--json', '--lines', 3, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
            try:
                time.sleep(1)
                client('SET', 'tailed', 'the-needle')
                deadline = time.time() + cluster.PATIENCE_SECONDS
                last = {}
                for line in tail.stdout:
                    entry = json.loads(line)
                    self.assertEqual(entry['index'], last.get(entry['group'], entry['index'] - 1) + 1)
                    last[entry['group']] = entry['index']
                    if 'the-needle' in entry['payload']:
                        break
                    self.assertLess(time.time(), deadline)
            finally:
                tail.kill()
                tail.communicate()
        lines = self.read('tail', folder, '--group', 2, '-n', 1).stdout.splitlines()
        self.assertEqual(len(lines), 1)

    def test_dump_as_text_goes_into_a_closed_pipe_quietly(self):
        done = subprocess.run(f'{cluster.BINARY} log dump {data_folder(dev, 2)} | head -n 1', shell=True,
                              capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(len(done.stdout.splitlines()), 1)
        self.assertNotIn('Sanitizer', done.stderr)

    def test_verify_follows_while_the_log_grows(self):
        writing = cluster.start('bench', '--address', dev.address(1), '--requests', 20000, '--clients', 10, '--quiet',
                                stdout=subprocess.DEVNULL)
        try:
            for _ in range(5):
                done = cluster.run('log', 'verify', data_folder(dev, 1))
                self.assertEqual(done.returncode, 0, done.stderr)
        finally:
            writing.kill()
            writing.wait()

    def stopped(self):
        """A copy of the data of a cluster of one that was stopped, holding marked values."""
        folder = self.folder() / 'data'
        own = self.open(Dev, '--data', folder, nodes=1, groups=2, env={**cluster.STEADY, 'HOLDFAST_LOG_SEGMENT_SIZE': '1MiB'})
        with own.client() as client:
            for i in range(30):
                self.assertEqual(client('SET', f'key{i}', f'<value number {i}>'), Status('OK'))
        self.assertEqual(own.stop(), 0)
        return folder

    def test_P2_a_flipped_byte_is_damage_named_with_group_index_and_term(self):
        folder = self.stopped()
        data = folder / 'node1'
        self.assertEqual(cluster.run('log', 'verify', data).returncode, 0)
        record = next(record for record in self.dump(data) if '<value number 17>' in record.get('payload', ''))
        path = data / 'log' / f'{record["segment"]:016x}.log'
        content = bytearray(path.read_bytes())
        position = content.index(b'<value number 17>', record['offset'])
        content[position + 3] ^= 0x20
        path.write_bytes(content)
        for verb in ('verify', 'dump'):
            with self.subTest(verb=verb):
                done = cluster.run('log', verb, data)
                self.assertEqual(done.returncode, 4, done.stderr)
                self.assertIn(path.name, done.stderr)
                self.assertIn(f'group {record["group"]}, index {record["index"]}, term {record["term"]}', done.stderr)
                self.assertIn('IS committed', done.stderr)
                self.assertIn('next: ', done.stderr)
        done = cluster.run('log', 'verify', '--json', data)
        damage = [json.loads(line) for line in done.stdout.splitlines() if '"damage"' in line]
        self.assertEqual([(row['group'], row['index'], row['term']) for row in damage],
                         [(record['group'], record['index'], record['term'])])
        self.assertEqual(bytes(content), path.read_bytes())

    def test_P2_a_node_with_a_damaged_group_says_so_and_serves_the_others(self):
        folder = self.stopped()
        data = folder / 'node1'
        records = self.dump(data)
        record = next(record for record in records if '<value number 17>' in record.get('payload', ''))
        path = data / 'log' / f'{record["segment"]:016x}.log'
        content = bytearray(path.read_bytes())
        content[content.index(b'<value number 17>', record['offset']) + 3] ^= 0x20
        path.write_bytes(content)
        port = cluster.free_ports()
        process = self.open(cluster.Process, 'serve', '--data', data, '--listen-client', f'127.0.0.1:{port}',
                            env=cluster.STEADY)

        def answers():
            self.assertIsNone(process.process.poll(), process.log())
            try:
                with cluster.Client(f'127.0.0.1:{port}') as client:
                    return json.loads(client('RAFT.STATUS', 'JSON'))
            except (OSError, cluster.Closed):
                return None
        status = cluster.wait_until(answers, 'the node starts')
        groups = {group['group']: group for group in status['groups']}
        self.assertIn(groups[record['group']]['role'], ('stopped', 'frozen'))
        self.assertNotEqual(groups[record['group']]['text'], '')
        good = 5 - record['group']  # of groups 2 and 3 the other one
        with cluster.Client(f'127.0.0.1:{port}') as client:
            replies = [client('GET', f'key{i}') for i in range(30)]
        refused = [reply for reply in replies if isinstance(reply, cluster.ReplyError)]
        values = [reply for reply in replies if isinstance(reply, bytes)]
        self.assertEqual(len(refused) + len(values), 30)
        self.assertGreater(len(values), 0, f'group {good} does not answer')
        self.assertGreater(len(refused), 0)
        self.assertEqual(process.stop(), 0)

    def test_P2_a_torn_end_is_dropped_without_a_word_of_damage(self):
        folder = self.stopped()
        data = folder / 'node1'
        last = max(record['segment'] for record in self.dump(data) if 'segment' in record)
        path = data / 'log' / f'{last:016x}.log'
        content = bytearray(path.read_bytes())
        end = max(at for at in range(0, len(content), 4096) if content[at:at + 4] in (b'HFFR', b'RFFH'))
        content[end + 100:end + 4096] = bytes(4096 - 100)
        path.write_bytes(content)
        done = cluster.run('log', 'verify', data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('torn', done.stdout)


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})? (NaN|[+-]?Inf|[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)$')
LABEL = re.compile(r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"$')


class Http(cluster.TestCase):
    def test_health(self):
        for node in dev.nodes:
            cluster.wait_until(lambda http=node['http']: health(http) == 200, 'every node is healthy')

    def test_metrics_are_valid_prometheus_text(self):
        with dev.client(1) as client:
            client.pipeline([('SET', f'metric:{i}', i) for i in range(50)])
        for node in dev.nodes:
            status, headers, body = fetch(node['http'], '/metrics')
            self.assertEqual(status, 200)
            self.assertTrue(headers['Content-Type'].startswith('text/plain; version=0.0.4'))
            self.check_text(body)
            self.assertRegex(body, r'\nholdfast_log_stage_seconds_count\{stage="write"\} [1-9]')
            self.assertRegex(body, r'\nholdfast_log_stage_bytes_total\{stage="queue"\} [1-9]')

    def test_info_tells_the_stages_of_the_log(self):
        with dev.client(1) as client:
            client('SET', 'stage', '1')
            text = client('INFO', 'log').decode()
            self.assertNotIn('log_stage_', client('INFO').decode())
        for stage in ('queue', 'encode', 'write', 'sync', 'index', 'callback'):
            self.assertRegex(text, f'log_stage_{stage}:count=[0-9]+,entries=[0-9]+,bytes=[0-9]+,sum_ns=[0-9]+,')
        self.assertRegex(text, 'log_stage_write:count=[1-9]')

    def check_text(self, body):
        self.assertTrue(body.endswith('\n'))
        types, seen, finished, current = {}, set(), set(), None
        for line in body.splitlines():
            if line.startswith('# TYPE '):
                _, _, name, kind = line.split(' ')
                self.assertNotIn(name, types, 'a second TYPE line')
                self.assertIn(kind, ('counter', 'gauge', 'histogram', 'summary'))
                types[name] = kind
                continue
            if line.startswith('#') or not line:
                continue
            match = SAMPLE.match(line)
            self.assertIsNotNone(match, line)
            name, labels, _ = match.groups()
            self.assertTrue(name.startswith('holdfast_'), name)
            for label in re.findall(r'[^,]+="(?:[^"\\]|\\.)*"', labels or ''):
                self.assertRegex(label, LABEL)
            self.assertNotIn((name, labels), seen, 'the same sample twice')
            seen.add((name, labels))
            family = name if name in types else re.sub('_(bucket|sum|count)$', '', name)
            self.assertIn(family, types, 'a sample without a TYPE line')
            self.assertNotIn(family, finished, 'the samples of a metric are not together')
            if current not in (None, family):
                finished.add(current)
            current = family
            if types[family] == 'counter':
                self.assertTrue(name.endswith('_total'), name)
        self.assertGreater(len(seen), 20)

    def test_the_http_port_shows_no_data_and_takes_only_get(self):
        with dev.client(1) as client:
            client('SET', 'secret-key', 'secret-value')
        for path in ('/health', '/metrics', '/status'):
            status, _, body = fetch(dev.nodes[0]['http'], path)
            self.assertEqual(status, 200)
            self.assertNotIn('secret', body)
        self.assertEqual(fetch(dev.nodes[0]['http'], '/nothing')[0], 404)
        self.assertEqual(fetch(dev.nodes[0]['http'], '/metrics', 'POST')[0], 405)
        self.assertEqual(json.loads(fetch(dev.nodes[0]['http'], '/status')[2])['node'], 1)

    def test_a_node_that_was_just_looked_at_gets_its_port_back(self):
        own = self.open(Dev, nodes=1, groups=1)
        address = own.nodes[0]['http']
        # The server closes first, so that its end of the connection stays in TIME_WAIT.
        host, _, port = address.rpartition(':')
        with socket.create_connection((host, int(port)), 5) as client:
            client.sendall(b'GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
            while client.recv(1 << 16):
                pass
        own.wait_restarted(1, own.kill_node(1))
        cluster.wait_until(lambda: health(address) == 200, 'the node is healthy again', 0.05)
        self.assertEqual(own.log().count('started again'), 1, own.log())

    def test_a_node_without_a_quorum_is_not_healthy(self):
        alone = self.open(Dev, '--no-restart', groups=1)
        for number in (1, 2):
            alone.kill_node(number)
        cluster.wait_until(lambda: health(alone.nodes[2]['http']) == 503, 'the node says 503', 0.2)


class Words(cluster.TestCase):
    def test_the_default_configuration_is_good_and_shown(self):
        path = self.folder() / 'holdfast.yaml'
        path.write_text(cluster.run('config', 'default').stdout)
        done = cluster.run('config', 'check', path)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        shown = cluster.run('config', 'show', path, env={**os.environ, 'HOLDFAST_LOG_IO': 'pwritev2'})
        self.assertEqual(shown.returncode, 0)
        self.assertIn('io: pwritev2', shown.stdout)
        piped = cluster.run('config', 'check', '-', input=path.read_text())
        self.assertEqual(piped.returncode, 0, piped.stderr)

    def complete(self, *words):
        script = cluster.run('completion', 'bash').stdout
        done = subprocess.run(
            ['bash', '-c', f'{script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _holdfast; echo "${{COMPREPLY[@]}}"',
             'bash', 'holdfast', *words], capture_output=True, text=True, check=False)
        self.assertEqual(done.stderr, '')
        return done.stdout.split()

    def test_completion_is_a_shell_script_that_completes(self):
        self.assertEqual(self.complete('st'), ['status'])
        self.assertEqual(self.complete('log', 'v'), ['verify'])
        self.assertEqual(self.complete('dev', '--no-r'), ['--no-restart'])
        self.assertEqual(self.complete('log', 'dump', '--gr'), ['--group'])

    def test_the_manual_page_formats_without_warnings(self):
        page = cluster.run('man').stdout
        self.assertIn('.SH EXIT STATUS', page)
        if shutil.which('man') is None or shutil.which('groff') is None:
            return
        done = subprocess.run(['groff', '-man', '-Tutf8', '-ww', '-z', '-Kutf8'], input=page, capture_output=True,
                              text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_bench_prints_rates_as_json(self):
        done = cluster.run('bench', '--address', dev.address(1), '--requests', 2000, '--clients', 4, '--pipeline', 8,
                           '--writes', 50, '--json')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        result = json.loads(done.stdout)
        self.assertEqual((result['requests'], result['errors']), (2000, 0))
        self.assertGreater(result['rate'], 0)

    def test_an_interrupted_status_of_a_paused_node_times_out_with_6(self):
        alone = self.open(Dev, nodes=1, groups=1)
        pid = alone.nodes[0]['pid']
        os.kill(pid, signal.SIGSTOP)
        try:
            done = cluster.run('status', '--address', alone.address(1))
        finally:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(done.returncode, 6, done.stderr)


if __name__ == '__main__':
    cluster.main()
