"""What a program that embeds the log gets from an installed tree: pkg-config, find_package, symbols, headers, man page."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ['HOLDFAST_TEST_BINARY']).resolve().parent
SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = SOURCE / 'examples' / 'log_example.c'
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

    def test_every_public_function_of_the_log_is_in_the_library(self):
        header = (prefix / 'include/holdfast/log.h').read_text()
        declared = set(re.findall(r'^HF_API [^;(]*?\**(hf_\w+)\(', header, re.M))
        self.assertGreater(len(declared), 40)
        exported = {line.split()[-1] for line in run('nm', '-D', '--defined-only',
                                                     library_folder() / 'libholdfast.so').splitlines()}
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


if __name__ == '__main__':
    unittest.main()
