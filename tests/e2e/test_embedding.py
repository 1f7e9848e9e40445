"""What a program that embeds the log or the node gets from an installed tree: pkg-config, find_package, symbols, headers, man page."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import cluster

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


class Example:
    """An example, built in the ways in which others build theirs; `package` and so on say which."""

    def expect(self, program, name):
        out = run(program, folder / name, *self.arguments(), env={'LD_LIBRARY_PATH': str(library_folder())})
        self.assertEqual(out, self.says)

    def arguments(self):
        return ()

    def test_pkg_config_builds_it_shared_and_static(self):
        env = {'PKG_CONFIG_PATH': str(library_folder() / 'pkgconfig')}
        shared, static = (folder / f'{self.package}-{kind}' for kind in ('shared', 'static'))
        flags = run('pkg-config', '--cflags', '--libs', self.package, env=env).split()
        self.assertNotIn(self.hidden, flags)
        run('cc', '-std=c11', '-Wall', '-Wextra', '-Werror', self.source, '-o', shared, *flags)
        self.expect(shared, f'{self.package}-shared-data')
        flags = run('pkg-config', '--static', '--cflags', '--libs', self.package, env=env).split()
        flags = [f'-l:lib{self.package}.a' if flag == f'-l{self.package}' else flag for flag in flags]
        run('cc', '-std=c11', self.source, '-o', static, *flags)
        self.assertNotIn('libholdfast', run('readelf', '-d', static))
        self.expect(static, f'{self.package}-static-data')

    def test_find_package_builds_it_shared_and_static(self):
        project = folder / f'{self.package}-project'
        project.mkdir()
        (project / 'CMakeLists.txt').write_text(f'''cmake_minimum_required(VERSION 3.25)
project(embedding LANGUAGES C)
find_package(holdfast 0.1 REQUIRED {self.components})
add_executable(with_shared {self.source})
target_link_libraries(with_shared PRIVATE {self.targets[0]})
add_executable(with_static {self.source})
target_link_libraries(with_static PRIVATE {self.targets[1]})
''')
        run('cmake', '-S', project, '-B', project / 'build', f'-DCMAKE_PREFIX_PATH={prefix}')
        run('cmake', '--build', project / 'build')
        self.expect(project / 'build/with_shared', f'{self.package}-cmake-shared-data')
        self.expect(project / 'build/with_static', f'{self.package}-cmake-static-data')

    def test_the_build_tree_runs_it_too(self):
        self.expect(BUILD / self.source.stem, f'{self.package}-build-data')


class LogExample(Example, unittest.TestCase):
    source, says = EXAMPLE, SAYS
    package, hidden = 'holdfast', '-luring'
    components, targets = '', ('holdfast::holdfast', 'holdfast::static')


class NodeExample(Example, unittest.TestCase):
    """Three nodes in one process: they agree, go on without one, and it catches up when it is opened again."""
    source, says = NODE_EXAMPLE, NODE_SAYS
    package, hidden = 'holdfast-node', '-lraft'
    components, targets = 'COMPONENTS node', ('holdfast::node', 'holdfast::node_static')

    def arguments(self):
        return (cluster.free_ports(3),)

    def test_it_is_as_short_as_it_says(self):
        self.assertLessEqual(len(NODE_EXAMPLE.read_text().splitlines()), 80)


if __name__ == '__main__':
    unittest.main()
