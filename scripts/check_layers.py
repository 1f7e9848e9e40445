#!/usr/bin/python3
"""Checks what a machine can about STYLE.md and the layer table (cmake/rooms.cmake).

    check_layers.py [ROOT]

prints `path:line: rule: text` per finding and exits 1 when there is any. Findings whose rule starts with `warning-` do
not count. scripts/check_layers_test.py plants a violation of every rule and expects it here.

A room may say in its README.md, each on one line of its own:

    Doors: a.h b.h            headers other rooms may include (default: ROOM.h; base, io and net open all of theirs)
    Prefixes: a_ b_           prefixes of functions besides the file's own name
    Public: a.h               headers in include/holdfast that are this room's (default: ROOM.h)
"""
import pathlib
import re
import sys

RULES = {
    'table': 'the layer table is consistent and knows every folder of src/',
    'readme': 'a room with code has a README.md, and what its Doors line names exists',
    'include-form': 'an include in quotes names room and file',
    'layer': 'a room includes only the rooms that the table lists for it, and what those use',
    'private-header': "another room is entered through its doors",
    'public-header': 'a public header includes public headers only, and belongs to a room',
    'library': 'a library from outside is used where the table lists it',
    'raw-call': 'system calls, clocks and randomness stay in io/',
    'thread': 'threads and locks stay in io/ and base/',
    'print': 'rooms return errors and trace; only base/ and cli/ print',
    'file-name': 'a file name is unique across src/',
    'long-line': 'a line has at most 120 columns',
    'long-file': 'a file in src/ has at most 900 lines',
    'long-function': 'a function in src/ has at most 90 lines',
    'warning-long-function': 'a function in src/ should have at most 70 lines',
    'mark': 'what is left to do is not left in the code',
    'prefix': 'a function is named after its file',
    'parse': 'the braces of a file balance, so that its functions can be found',
}

COLUMNS_MAX = 120
FILE_LINES_MAX = 900
FUNCTION_LINES_MAX = 90
FUNCTION_LINES_ADVISED = 70

OPEN_ROOMS = {'base', 'io', 'net'}  # vocabulary and seams: every header is a door
PUBLIC_DEFAULT = {'error.h': 'base', 'bytes.h': 'base'}
THREAD_ROOMS = {'base', 'io'}
PRINT_ROOMS = {'base', 'cli'}

# Headers of libraries, by the name that the table uses.
LIBRARY_HEADERS = [
    (re.compile(pattern), library) for pattern, library in [
        (r'isa-l(\.h|/)', 'isal'), (r'xxh(ash|3)\.h', 'xxhash'), (r'liburing(\.h|/)', 'uring'), (r'uv(\.h|/)', 'uv'),
        (r'cyaml/', 'cyaml'), (r'yaml\.h', 'yaml'), (r'jansson(\.h|_)', 'jansson'), (r'microhttpd', 'microhttpd'),
        (r'hiredis/', 'hiredis'), (r'raft(\.h|/)', 'raft'), (r'zstd', 'zstd'), (r'lz4', 'lz4'), (r'zlib\.h', 'zlib'),
        (r'openssl/', 'openssl'), (r'rocksdb/', 'rocksdb'), (r'png\.h', 'png'), (r'pixman', 'pixman'),
    ]
]
# The table may be changed; these two decisions (DESIGN) may not.
LIBRARY_ROOMS = {'uv': {'net'}, 'raft': {'replica'}}

RAW_CALLS = set('''
    open open64 openat creat close dup dup2 dup3 pipe pipe2 fcntl flock lockf
    read pread pread64 preadv preadv2 readv write pwrite pwrite64 pwritev pwritev2 writev lseek sendfile splice
    copy_file_range fsync fdatasync sync syncfs sync_file_range ftruncate truncate fallocate posix_fallocate
    posix_fadvise rename renameat renameat2 unlink unlinkat remove link linkat symlink readlink
    mkdir mkdirat rmdir opendir fdopendir readdir scandir nftw stat fstat lstat fstatat statx statvfs fstatvfs access
    mkstemp mkdtemp tmpfile fopen fdopen freopen realpath chdir
    mmap munmap msync madvise mlock ioctl syscall
    socket socketpair connect accept accept4 bind listen shutdown send sendto sendmsg recv recvfrom recvmsg
    getaddrinfo gethostname getsockopt setsockopt select poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait
    eventfd timerfd_create signalfd inotify_init inotify_init1
    time gettimeofday clock clock_gettime clock_nanosleep nanosleep usleep sleep alarm setitimer timer_create
    rand rand_r srand random srandom drand48 lrand48 getrandom getentropy arc4random arc4random_uniform
    fork vfork execv execve execvp execvpe execl execlp execle fexecve posix_spawn posix_spawnp system popen
    wait waitpid waitid kill raise signal sigaction sigprocmask sigwait pause getpid getppid getenv setenv
    isatty tcgetattr tcsetattr exit _exit quick_exit daemon umask
'''.split())

# What a command line program does with its process and its terminal.
CLI_CALLS = set('''
    fork execv execve execvp execvpe execl execlp execle waitpid waitid kill raise signal sigaction sigprocmask sigwait
    pause getpid getppid getenv setenv isatty ioctl tcgetattr tcsetattr exit _exit alarm poll umask realpath gethostname
'''.split())
CLI_STREAM_CALLS = {'read', 'write', 'close', 'dup', 'dup2'}  # on the three standard streams only
STANDARD_STREAM = re.compile(r'\s*(STD(IN|OUT|ERR)_FILENO|[012]|fileno\(std(in|out|err)\))\s*[,)]')

# One call in one file, and why.
RAW_CALL_EXCEPTIONS = {
    ('base/mutex.c', 'clock_gettime'): 'pthread_cond_timedwait wants a point in time',
    ('cli/dev_cluster.c', 'mkdtemp'): 'a temporary folder that only its owner may enter',
    ('cli/dev_cluster.c', 'nftw'): 'the temporary folder is removed with everything in it',
    ('cli/dev_cluster.c', 'remove'): 'the same',
}

THREAD_NAMES = re.compile(r'\b(pthread_\w+|uv_(?:thread|mutex|rwlock|sem|cond|barrier|key|once)\w*|'
                          r'thrd_\w+|mtx_\w+|cnd_\w+)')
THREAD_HEADERS = {'pthread.h', 'threads.h', 'semaphore.h'}
PRINT_CALLS = {'printf', 'vprintf', 'fprintf', 'vfprintf', 'dprintf', 'puts', 'fputs', 'putchar', 'fputc', 'putc',
               'fwrite', 'perror'}

CALL = re.compile(r'(?<![\w.])(?<!->)([A-Za-z_]\w*)\s*\(')
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
MARK = re.compile(r'\b(' + '|'.join(['TO' + 'DO', 'FIX' + 'ME', 'X' * 3, 'HA' + 'CK']) + r')\b')
ROOM_LINE = re.compile(r'^\s*hf_room\(\s*(\w+)\s+"([^"]*)"\s+"([^"]*)"\s*\)', re.MULTILINE)
C_TOKEN = re.compile(r'//(?:\\\n|[^\n])*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


class Finding:
    def __init__(self, path, line, rule, text):
        assert rule in RULES, rule
        self.path, self.line, self.rule, self.text = path, line, rule, text

    def __str__(self):
        return f'{self.path}:{self.line}: {self.rule}: {self.text}'

    def counts(self):
        return not self.rule.startswith('warning-')


# ---- reading C ----

def blank(text):
    """The same number of characters and lines, with nothing in them."""
    return re.sub(r'[^\n]', ' ', text)


def without_comments(text):
    return C_TOKEN.sub(lambda m: blank(m[0]) if m[0].startswith('/') else m[0], text)


def code_only(text):
    """Without comments and without what is inside string and character literals."""
    def replace(match):
        token = match[0]
        return blank(token) if token.startswith('/') else token[0] + blank(token[1:-1]) + token[-1]
    return C_TOKEN.sub(replace, text)


def without_preprocessor(code):
    return re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', lambda m: blank(m[0]), code, flags=re.MULTILINE)


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1


def closing(code, start, opening, end):
    """The offset behind what closes code[start], or None."""
    depth = 0
    for offset in range(start, len(code)):
        if code[offset] == opening:
            depth += 1
        elif code[offset] == end:
            depth -= 1
            if depth == 0:
                return offset + 1
    return None


def function_name(head):
    """(name, offset in head, is static) when `head { ...` defines a function, else None."""
    attribute = re.search(r'__attribute__\s*\(', head)
    while attribute:
        end = closing(head, head.index('(', attribute.start()), '(', ')')
        if end is None:
            return None
        head = head[:attribute.start()] + blank(head[attribute.start():end]) + head[end:]
        attribute = re.search(r'__attribute__\s*\(', head)
    if not head.rstrip().endswith(')'):
        return None
    # The last group of parentheses on the outer level holds the parameters.
    start, offset = None, 0
    while True:
        opening = head.find('(', offset)
        if opening < 0:
            break
        offset = closing(head, opening, '(', ')')
        if offset is None:
            return None
        start = opening
    match = re.search(r'([A-Za-z_]\w*)\s*$', head[:start])
    if match is None or '=' in head[:start]:
        return None
    return match[1], match.start(1), re.search(r'\bstatic\b', head[:start]) is not None


class Function:
    def __init__(self, name, is_static, line, line_count):
        self.name, self.is_static, self.line, self.line_count = name, is_static, line, line_count


def functions_of(code):
    """All functions that the text defines; None when its braces do not balance."""
    code = without_preprocessor(code)
    # `extern "C" {` is no block of its own.
    code, outer_blocks = re.subn(r'\bextern\s+"[^"]*"\s*\{', lambda m: blank(m[0]), code)
    found, head_start, offset = [], 0, 0
    while offset < len(code):
        character = code[offset]
        if character == ';':
            head_start = offset + 1
        elif character == '}':
            if outer_blocks == 0:
                return None
            outer_blocks -= 1
            head_start = offset + 1
        elif character == '{':
            end = closing(code, offset, '{', '}')
            if end is None:
                return None
            named = function_name(code[head_start:offset])
            if named is not None:
                name, name_offset, is_static = named
                first = line_of(code, head_start + name_offset)
                found.append(Function(name, is_static, first, line_of(code, end - 1) - first + 1))
                head_start = end
            offset = end
            continue
        offset += 1
    return found


# ---- the project ----

class Room:
    def __init__(self, name, uses, libraries):
        self.name, self.uses, self.libraries = name, uses, libraries
        self.reaches = set()
        self.doors = {name + '.h'}
        self.prefixes = []
        self.public = {name + '.h'}


class Project:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.findings = []
        self.rooms = {}

    def add(self, path, line, rule, text):
        self.findings.append(Finding(path, line, rule, text))

    def read(self, path):
        return (self.root / path).read_text(encoding='utf-8', errors='replace')

    def files(self, folder, *suffixes):
        base = self.root / folder
        if not base.is_dir():
            return []
        return sorted(p.relative_to(self.root).as_posix() for p in base.rglob('*')
                      if p.is_file() and p.suffix in suffixes)

    def check(self):
        self.read_table()
        self.read_readmes()
        self.check_file_names()
        for path in self.files('src', '.c', '.h'):
            room = self.rooms.get(path.split('/')[1])
            if room is not None and path.count('/') >= 2:
                self.check_room_file(room, path)
        for path in self.files('include', '.h'):
            self.check_public_header(path)
        for folder in ('src', 'include', 'tests', 'bench'):
            for path in self.files(folder, '.c', '.h'):
                self.check_line_widths(path)
        for folder in ('src', 'include', 'tests', 'bench', 'scripts', 'cmake'):
            for path in self.files(folder, '.c', '.h', '.py', '.sh', '.cmake'):
                self.check_marks(path)
        self.findings.sort(key=lambda f: (f.path, f.line, f.rule, f.text))
        return self.findings

    # ---- the table ----

    def read_table(self):
        path = 'cmake/rooms.cmake'
        text = self.read(path)
        for match in ROOM_LINE.finditer(text):
            name = match[1]
            uses, libraries = (set(filter(None, group.split(';'))) for group in (match[2], match[3]))
            line = line_of(text, match.start())
            if name in self.rooms:
                self.add(path, line, 'table', f'{name} stands there twice')
                continue
            for used in sorted(uses - set(self.rooms)):
                self.add(path, line, 'table', f'{name} uses {used}, which does not stand above it')
            room = Room(name, uses & set(self.rooms), libraries)
            room.reaches = set(room.uses).union(*(self.rooms[used].reaches for used in room.uses)) | {name}
            self.rooms[name] = room
        if not self.rooms:
            self.add(path, 1, 'table', 'no hf_room line was found')
        source = self.root / 'src'
        for folder in sorted(source.iterdir()) if source.is_dir() else []:
            relative = folder.relative_to(self.root).as_posix()
            if folder.is_dir() and folder.name not in self.rooms and any(folder.iterdir()):
                self.add(path, 1, 'table', f'{relative} is not in the table')
            if folder.is_file() and folder.suffix in ('.c', '.h'):
                self.add(relative, 1, 'table', 'a source file stands outside the rooms')

    def read_readmes(self):
        for room in self.rooms.values():
            folder = f'src/{room.name}'
            path = f'{folder}/README.md'
            if not (self.root / path).is_file():
                if any(p.endswith('.c') for p in self.files(folder, '.c')):
                    self.add(folder, 1, 'readme', 'the room has code but no README.md')
                continue
            for number, line in enumerate(self.read(path).splitlines(), 1):
                match = re.match(r'(Doors|Prefixes|Public):\s*(.*)$', line)
                if match is None:
                    continue
                words = match[2].replace(',', ' ').replace('`', '').split()
                if match[1] == 'Prefixes':
                    room.prefixes += words
                    continue
                if match[1] == 'Doors':
                    room.doors = set(words)
                else:
                    room.public = set(words)
                home = folder if match[1] == 'Doors' else 'include/holdfast'
                for word in words:
                    if not (self.root / home / word).is_file():
                        self.add(path, number, 'readme', f'{home}/{word} does not exist')

    def check_file_names(self):
        home = {}
        for path in self.files('src', '.c', '.h'):
            stem, folder = pathlib.PurePath(path).stem, path.rsplit('/', 1)[0]
            other = home.setdefault(stem, folder)
            if other != folder:
                self.add(path, 1, 'file-name', f'{other} has a file called {stem} too')

    # ---- one file ----

    def check_room_file(self, room, path):
        text = self.read(path)
        code = code_only(text)
        self.check_includes(room, path, without_comments(text))
        self.check_calls(room, path, without_preprocessor_includes(code))
        line_count = len(text.splitlines())
        if line_count > FILE_LINES_MAX:
            self.add(path, FILE_LINES_MAX + 1, 'long-file', f'{line_count} lines; at most {FILE_LINES_MAX}')
        functions = functions_of(code)
        if functions is None:
            self.add(path, 1, 'parse', 'the braces do not balance')
            return
        for function in functions:
            self.check_function(room, path, function)

    def check_function(self, room, path, function):
        stem = pathlib.PurePath(path).stem
        if function.line_count > FUNCTION_LINES_ADVISED:
            rule = 'long-function' if function.line_count > FUNCTION_LINES_MAX else 'warning-long-function'
            self.add(path, function.line, rule, f'{function.name} has {function.line_count} lines')
        if function.is_static or not path.endswith('.c'):
            return
        prefixes = [stem + '_', f'hf_{stem}_', f'hf_{room.name}_'] + room.prefixes
        if function.name in (stem, 'hf_' + stem) or function.name.startswith(tuple(prefixes)):
            return
        self.add(path, function.line, 'prefix', f'{function.name} does not start with {stem}_ or a documented prefix')

    def check_includes(self, room, path, text):
        for number, line in enumerate(text.split('\n'), 1):
            match = INCLUDE.match(line)
            if match is None:
                continue
            if match[1] == '<':
                self.check_system_include(room, path, number, match[2])
            else:
                self.check_own_include(room, path, number, match[2])

    def check_own_include(self, room, path, number, name):
        folder, _, header = name.rpartition('/')
        if folder == 'holdfast':
            target = self.public_room(header)
            if target is None:
                self.add(path, number, 'public-header', f'{name} belongs to no room')
            elif target not in room.reaches:
                self.add(path, number, 'layer', f'{room.name} may not use {target} ({name})')
            return
        if folder not in self.rooms:
            self.add(path, number, 'include-form', f'"{name}" is not of the form "room/file.h"')
            return
        if folder not in room.reaches:
            self.add(path, number, 'layer', f'{room.name} may not use {folder} ({name})')
        elif folder != room.name and folder not in OPEN_ROOMS and header not in self.rooms[folder].doors:
            self.add(path, number, 'private-header', f'{name} is not a door of {folder}')

    def check_system_include(self, room, path, number, name):
        if name in THREAD_HEADERS and room.name not in THREAD_ROOMS:
            self.add(path, number, 'thread', f'<{name}> is for {" and ".join(sorted(THREAD_ROOMS))}')
        for pattern, library in LIBRARY_HEADERS:
            if not pattern.match(name):
                continue
            allowed = LIBRARY_ROOMS.get(library)
            if library not in room.libraries or (allowed is not None and room.name not in allowed):
                self.add(path, number, 'library', f'<{name}> is not for {room.name}')

    def check_calls(self, room, path, code):
        for match in CALL.finditer(code):
            name = match[1]
            if name in RAW_CALLS and not self.call_is_allowed(room, path, name, code[match.end():]):
                self.add(path, line_of(code, match.start(1)), 'raw-call', f'{name}() is for io/')
            if name in PRINT_CALLS and room.name not in PRINT_ROOMS:
                self.add(path, line_of(code, match.start(1)), 'print', f'{name}() in {room.name}')
        if room.name not in THREAD_ROOMS:
            for match in THREAD_NAMES.finditer(code):
                self.add(path, line_of(code, match.start()), 'thread', f'{match[1]} in {room.name}')

    def call_is_allowed(self, room, path, name, rest):
        if room.name == 'io' or (path.removeprefix('src/'), name) in RAW_CALL_EXCEPTIONS:
            return True
        if room.name != 'cli':
            return False
        return name in CLI_CALLS or (name in CLI_STREAM_CALLS and STANDARD_STREAM.match(rest) is not None)

    # ---- public headers, every file ----

    def public_room(self, header):
        for room in self.rooms.values():
            if header in room.public:
                return room.name
        return PUBLIC_DEFAULT.get(header)

    def check_public_header(self, path):
        header = path.rsplit('/', 1)[1]
        owner = self.public_room(header)
        if owner is None:
            self.add(path, 1, 'public-header', 'it belongs to no room (name it in a Public: line)')
        for number, line in enumerate(without_comments(self.read(path)).split('\n'), 1):
            match = INCLUDE.match(line)
            if match is None or match[1] == '<':
                continue
            folder, _, name = match[2].rpartition('/')
            if folder != 'holdfast':
                self.add(path, number, 'public-header', f'it includes {match[2]}, which is not public')
                continue
            target = self.public_room(name)
            if owner is not None and target is not None and target not in self.rooms[owner].reaches:
                self.add(path, number, 'layer', f'{owner} may not use {target} ({match[2]})')

    def check_line_widths(self, path):
        for number, line in enumerate(self.read(path).splitlines(), 1):
            if len(line.expandtabs(8)) > COLUMNS_MAX:
                self.add(path, number, 'long-line', f'{len(line.expandtabs(8))} columns; at most {COLUMNS_MAX}')

    def check_marks(self, path):
        for number, line in enumerate(self.read(path).splitlines(), 1):
            match = MARK.search(line)
            if match is not None:
                self.add(path, number, 'mark', f'{match[1]} is left in the text')


def without_preprocessor_includes(code):
    """Macro bodies are code that runs; only the names of included files are not."""
    return re.sub(r'^[ \t]*#[ \t]*include[^\n]*', lambda m: blank(m[0]), code, flags=re.MULTILINE)


def check(root):
    return Project(root).check()


def main(arguments):
    if len(arguments) > 1 or any(argument.startswith('-') for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    root = arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent
    findings = check(root)
    for finding in findings:
        print(finding)
    return 1 if any(finding.counts() for finding in findings) else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
