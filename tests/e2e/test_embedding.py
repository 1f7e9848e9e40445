"""What a program that embeds the log or the node gets from an installed tree: pkg-config, find_package, symbols, headers, man page."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ['HOLDFAST_TEST_BINARY']).resolve().parent
SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = SOURCE / 'examples' / 'log_example.c'
NODE_EXAMPLE = SOURCE / 'examples' / 'node_example.c'
NODE_SAYS = 'node 1 reads 45\nnode 2 reads 45\nnode 3 reads 45\n'
SAYS = '1 survives\n2 survives\n3 survives\n'

folder = None
prefix = None


def run(*command, env=None, cwd=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, **(env or {})})
    if done.returncode != 0:
        raise AssertionError(f'{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}')
    return done.stdout


def setUpModule():
    """Installs with DESTDIR, as packagers do, and moves the tree: nothing in it may know where it was made."""
    global folder, prefix
    folder = pathlib.Path(tempfile.mkdtemp(prefix='holdfast-embedding-'))
    unittest.addModuleCleanup(shutil.rmtree, folder)
    run('cmake', '--install', BUILD, '--prefix', '/usr/local', env={'DESTDIR': str(folder / 'stage')})
    prefix = folder / 'moved'
    (folder / 'stage' / 'usr' / 'local').rename(prefix)


def library_folder():
    (found,) = prefix.glob('**/libholdfast.a')
    return found.parent


class Installed(unittest.TestCase):
    def test_the_tree_is_complete(self):
        names = {path.relative_to(prefix).as_posix() for path in prefix.rglob('*') if not path.is_dir()}
        for name in ('bin/holdfast', 'include/holdfast/log.h', 'include/holdfast/error.h', 'include/holdfast/bytes.h',
                     'include/holdfast/node.h',
                     'share/man/man1/holdfast.1'):
            self.assertIn(name, names)
        self.assertTrue((prefix / 'share/man/man1/holdfast.1').read_text().startswith('.TH'))
        self.assertRegex(run(prefix / 'bin/holdfast', 'man'), r'^\.TH')

    def test_only_hf_symbols_are_exported(self):
        shared = library_folder() / 'libholdfast.so'
        static = library_folder() / 'libholdfast.a'
        for out in (run('nm', '-D', '--defined-only', shared), run('nm', '-g', '--defined-only', static)):
            symbols = [line.split()[2] for line in out.splitlines() if len(line.split()) == 3]
            self.assertIn('hf_log_open', symbols)
            self.assertEqual([name for name in symbols if not name.startswith('hf_')], [])
        self.assertEqual(re.findall(r'SONAME.*\[(.*)\]', run('readelf', '-d', shared)), ['libholdfast.so.0.1'])
        needed = re.findall(r'NEEDED.*\[(.*)\]', run('readelf', '-d', shared))
        for name in needed:
            self.assertNotRegex(name, r'libuv|libraft|microhttpd|jansson')

    def test_the_node_exports_hf_symbols_only_and_holds_the_log(self):
        shared = library_folder() / 'libholdfast-node.so'
        static = library_folder() / 'libholdfast-node.a'
        for out in (run('nm', '-D', '--defined-only', shared), run('nm', '-g', '--defined-only', static)):
            symbols = [line.split()[2] for line in out.splitlines() if len(line.split()) == 3]
            self.assertIn('hf_node_open', symbols)
            self.assertIn('hf_log_open', symbols)
            self.assertEqual([name for name in symbols if not name.startswith('hf_')], [])
        needed = re.findall(r'NEEDED.*\[(.*)\]', run('readelf', '-d', shared))
        for name in needed:
            self.assertNotRegex(name, r'microhttpd|jansson|cyaml|hiredis|libholdfast\.so')

    def test_every_public_function_is_in_its_library(self):
        for headers, library in ((('log.h', 'snapshot.h', 'store.h', 'error.h'), 'libholdfast.so'),
                                 (('log.h', 'snapshot.h', 'store.h', 'error.h', 'node.h'), 'libholdfast-node.so')):
            declared = set()
            for header in headers:
                text = (prefix / 'include/holdfast' / header).read_text()
                declared |= set(re.findall(r'^HF_API [^;(]*?\**(hf_\w+)\(', text, re.M))
            self.assertGreater(len(declared), 80)
            exported = {line.split()[-1] for line in run('nm', '-D', '--defined-only',
                                                         library_folder() / library).splitlines()}
            self.assertEqual(declared - exported, set())

    def test_the_headers_stand_alone_in_c_and_cpp(self):
        for header in sorted((prefix / 'include/holdfast').glob('*.h')):
            for compiler, language in (('cc', 'c'), ('c++', 'c++')):
                if shutil.which(compiler) is None:
                    continue
                source = folder / f'alone.{language}'
                source.write_text(f'#include <holdfast/{header.name}>\n')
                run(compiler, '-x', language, '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-I', prefix / 'include',
                    source)


def free_ports(count):
    """A row of ports that nobody has now."""
    for first in range(23360, 23400 - count):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sockets[-1].bind(('127.0.0.1', port))
            return first
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise unittest.SkipTest('no free ports')


class Example(unittest.TestCase):
    def expect(self, program, name):
        out = run(program, folder / name, env={'LD_LIBRARY_PATH': str(library_folder())})
        self.assertEqual(out, SAYS)

    def test_pkg_config_builds_it_shared_and_static(self):
        env = {'PKG_CONFIG_PATH': str(library_folder() / 'pkgconfig')}
        flags = run('pkg-config', '--cflags', '--libs', 'holdfast', env=env).split()
        self.assertNotIn('-luring', flags)
        run('cc', '-std=c11', '-Wall', '-Wextra', '-Werror', EXAMPLE, '-o', folder / 'shared', *flags)
        self.expect(folder / 'shared', 'log-shared')
        flags = run('pkg-config', '--static', '--cflags', '--libs', 'holdfast', env=env).split()
        flags = ['-l:libholdfast.a' if flag == '-lholdfast' else flag for flag in flags]
        run('cc', '-std=c11', EXAMPLE, '-o', folder / 'static', *flags)
        self.assertNotIn('libholdfast', run('readelf', '-d', folder / 'static'))
        self.expect(folder / 'static', 'log-static')

    def test_find_package_builds_it_shared_and_static(self):
        project = folder / 'project'
        project.mkdir()
        (project / 'CMakeLists.txt').write_text(f'''cmake_minimum_required(VERSION 3.25)
project(embedding LANGUAGES C)
find_package(holdfast 0.1 REQUIRED)
add_executable(with_shared {EXAMPLE})
target_link_libraries(with_shared PRIVATE holdfast::holdfast)
add_executable(with_static {EXAMPLE})
target_link_libraries(with_static PRIVATE holdfast::static)
''')
        run('cmake', '-S', project, '-B', project / 'build', f'-DCMAKE_PREFIX_PATH={prefix}')
        run('cmake', '--build', project / 'build')
        self.expect(project / 'build/with_shared', 'log-cmake-shared')
        self.expect(project / 'build/with_static', 'log-cmake-static')

    def test_the_build_tree_runs_it_too(self):
        self.assertEqual(run(BUILD / 'log_example', folder / 'log-build'), SAYS)


class NodeExample(unittest.TestCase):
    """Three nodes in one process: they agree, go on without one, and it catches up when it is opened again."""

    def expect(self, program, name):
        out = run(program, folder / name, free_ports(3), env={'LD_LIBRARY_PATH': str(library_folder())})
        self.assertEqual(out, NODE_SAYS)

    def test_it_is_as_short_as_it_says(self):
        self.assertLessEqual(len(NODE_EXAMPLE.read_text().splitlines()), 80)

    def test_pkg_config_builds_it_shared_and_static(self):
        env = {'PKG_CONFIG_PATH': str(library_folder() / 'pkgconfig')}
        flags = run('pkg-config', '--cflags', '--libs', 'holdfast-node', env=env).split()
        self.assertNotIn('-lraft', flags)
        run('cc', '-std=c11', '-Wall', '-Wextra', '-Werror', NODE_EXAMPLE, '-o', folder / 'node-shared', *flags)
        self.expect(folder / 'node-shared', 'nodes-shared')
        flags = run('pkg-config', '--static', '--cflags', '--libs', 'holdfast-node', env=env).split()
        flags = ['-l:libholdfast-node.a' if flag == '-lholdfast-node' else flag for flag in flags]
        run('cc', '-std=c11', NODE_EXAMPLE, '-o', folder / 'node-static', *flags)
        self.assertNotIn('libholdfast', run('readelf', '-d', folder / 'node-static'))
        self.expect(folder / 'node-static', 'nodes-static')

    def test_find_package_builds_it_shared_and_static(self):
        project = folder / 'node-project'
        project.mkdir()
        (project / 'CMakeLists.txt').write_text(f'''cmake_minimum_required(VERSION 3.25)
project(embedding LANGUAGES C)
find_package(holdfast 0.1 REQUIRED COMPONENTS node)
add_executable(with_shared {NODE_EXAMPLE})
target_link_libraries(with_shared PRIVATE holdfast::node)
add_executable(with_static {NODE_EXAMPLE})
target_link_libraries(with_static PRIVATE holdfast::node_static)
''')
        run('cmake', '-S', project, '-B', project / 'build', f'-DCMAKE_PREFIX_PATH={prefix}')
        run('cmake', '--build', project / 'build')
        self.expect(project / 'build/with_shared', 'nodes-cmake-shared')
        self.expect(project / 'build/with_static', 'nodes-cmake-static')

    def test_the_build_tree_runs_it_too(self):
        self.expect(BUILD / 'node_example', 'nodes-build')


if __name__ == '__main__':
    unittest.main()
