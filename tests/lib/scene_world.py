"""The world of one scene: a home, the scripted provider and the router, all its own.

Free ports and a temporary directory for each, so that scenes run beside each other.  Only
children of the scene are ended, by pid.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from scene_text import SceneError, split

SECONDS = 60
# Longer than any machine is slow, and nothing is waited for, unless the scene says so.
FALLBACK = {'connect_timeout': '60s', 'first_byte_timeout': '60s', 'idle_timeout': '60s', 'progress_timeout': '60s',
            'max_wait': '0s', 'orphan_grace': '0s'}
FILLERS = {'pad': lambda n: 'x' * n, 'open': lambda n: '[' * n, 'fields': lambda n: ''.join(f'X-{i}: 1\r\n' for i in range(n))}


def until(what, condition, seconds=SECONDS):
    """Waits for a condition, never for a time that one hopes is enough."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got or time.monotonic() > end:
            break
        time.sleep(0.01)
    if not got:
        raise SceneError(f'waited {seconds} s for {what}')
    return got


def flow(text):
    """`{a: 1, b: [x, y]}` as a dict of texts."""
    text = text.strip()
    if not (text.startswith('{') and text.endswith('}')):
        raise SceneError(f'not a mapping: {text}')
    pairs = [p.split(':', 1) for p in split(text[1:-1], ',') if p]
    return {k.strip(): v.strip() for k, v in pairs}


def show(mapping):
    return '{' + ', '.join(f'{k}: {v}' for k, v in mapping.items()) + '}'


def json_lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8', errors='replace') as f:
        return [json.loads(line) for line in f if line.endswith('\n')]


class Provider:
    """Backends that follow scripts; `seen` is what they were asked."""

    def __init__(self, program, home, scripts, quirks):
        self.log = os.path.join(home, 'seen.jsonl')
        args = [program, '--log', self.log]
        for name, words in quirks.items():
            args += ['--quirks', f'{name}={words.strip("[] ")}']
        args += [f'{n}={s}' for n, s in scripts.items()]
        self.child = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.child.stdout.readline()
        if not line:
            raise SceneError(f'the provider: {self.child.stderr.read()}')
        self.ports = json.loads(line)['ports']

    def command(self, line):
        """Done when this returns: the next request meets it."""
        self.child.stdin.write(line + '\n')
        self.child.stdin.flush()
        error = json.loads(self.child.stdout.readline()).get('error')
        if error:
            raise SceneError(f'the provider does not take {line!r}: {error}')

    def seen(self, name=None):
        return [s for s in json_lines(self.log) if name in (None, s['backend'])]

    def stop(self):
        _, said = self.child.communicate(timeout=SECONDS)
        if self.child.returncode or said:
            raise SceneError(f'the provider ended with {self.child.returncode}: {said[-2000:]}')


class Policy:
    """The policy of a scene; what it does not say has a short default."""

    def __init__(self):
        self.fallback, self.top = dict(FALLBACK), {'listen': '127.0.0.1:0', 'workers': '2'}
        self.backends, self.models, self.chain, self.text = {}, {}, None, None

    def set(self, key, value):
        if key == 'fallback':
            self.fallback.update(flow(value))
        elif key == 'text':
            self.text = value
        else:
            self.top[key] = value

    def render(self, ports):
        if self.text is not None:
            return self.text + '\n'
        lines = [f'{k}: {v}' for k, v in self.top.items() if k != 'routes']
        lines.append('backends:')
        for name, port in ports.items():
            b = {'wire': 'anthropic', 'url': f'"http://127.0.0.1:{port}"', 'key': 'none'}
            b.update(self.backends.get(name, {}))
            if 'preset' in b:
                del b['wire']
            lines.append(f'  {name}: {show(b)}')
        lines.append('models:')
        for name in ports:
            lines.append(f'  {name}: {show({"backend": name, "id": "id-" + name, **self.models.get(name, {})})}')
        lines += ['chains:', f'  main: [{", ".join(self.chain or ports)}]']
        lines.append('routes: ' + self.top.get('routes', '[{use: main}]'))
        lines.append(f'fallback: {show(self.fallback)}')
        return '\n'.join(lines) + '\n'


class World:
    alive = set()  # to be destroyed should the runner be ended

    def __init__(self, binary, provider):
        World.alive.add(self)
        self.binary, self.provider_program = binary, provider
        self.home = tempfile.mkdtemp(prefix='continuo-scene-')
        self.scripts, self.policy = {}, Policy()
        self.provider = self.child = self.port = self.token = self.log = None
        self.starts, self.exit = 0, None
        self.serve_options, self.passphrase, self.checks_clean = [], None, True

    # -- files --

    def path(self, name):
        return os.path.join(self.home, name)

    def write(self, name, text, mode=0o600):
        path = self.path(name)
        with open(path + '.new', 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(path + '.new', mode)
        os.rename(path + '.new', path)

    def write_policy(self):
        ports = self.provider.ports if self.provider else {}
        self.write('policy.yaml', self.fill(self.policy.render(ports)))

    def fill(self, text):
        """The names that a scene cannot know: {home}, {port}, {token}, {a.port}, {head}; and {pad 9} and its like."""
        head = (f'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n'
                f'x-continuo-token: {self.token}\r\n')
        names = {'home': self.home, 'port': self.port, 'token': self.token, 'head': head}
        if self.provider:
            names.update({f'{n}.port': p for n, p in self.provider.ports.items()})
        for name, value in names.items():
            text = text.replace('{' + name + '}', str(value))
        return re.sub(r'\{(pad|open|fields) (\d+)\}', lambda m: FILLERS[m[1]](int(m[2])), text)

    # -- provider and router --

    def start_provider(self):
        if self.provider is None and self.scripts:
            quirks = {n: b['quirks'] for n, b in self.policy.backends.items() if n in self.scripts and 'quirks' in b}
            self.provider = Provider(self.provider_program, self.home, {n: self.fill(s) for n, s in self.scripts.items()}, quirks)

    def start(self, wants_token=True):
        """Starts the router; when it ends instead of serving, `exit` says how."""
        self.start_provider()
        if not os.path.exists(self.path('policy.yaml')):
            self.write_policy()
        ready = self.path('ready.json')
        if os.path.exists(ready):
            os.unlink(ready)
        self.starts += 1
        self.exit = None
        args = [self.binary, 'serve', '--home', self.home, '--ready-file', ready, '--log-level', 'debug', '--trace-file', self.trace_path()]
        args += self.serve_options
        read_end = None
        if self.passphrase is not None:
            read_end, write_end = os.pipe()
            os.write(write_end, self.passphrase.encode())
            os.close(write_end)
            args += ['--passphrase-fd', str(read_end)]
        with open(self.path('router.txt'), 'ab') as log:
            self.child = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                                          pass_fds=[read_end] if read_end is not None else [])
        if read_end is not None:
            os.close(read_end)
        until('the router to serve', lambda: os.path.exists(ready) or self.child.poll() is not None, 2 * SECONDS)
        if self.child.poll() is not None:
            self.exit = self.child.returncode
            self.child = None
            return
        with open(ready, encoding='utf-8') as f:
            self.port = int(json.load(f)['url'].rsplit(':', 1)[1])
        if wants_token and self.token is None:
            self.token = self.admin('POST', '/api/tokens', {'name': 'scene', 'scopes': ['turn']})['token']

    def serving(self):
        """The router, started at the first need of it."""
        if self.child is None and self.exit is None:
            self.start()
        if self.child is None:
            raise SceneError(f'the router does not serve: it ended with {self.exit}')

    def admin(self, method, path, body=None):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(SECONDS)
            s.connect(self.path('admin.sock'))
            data = json.dumps(body or {}).encode()
            s.sendall(f'{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
                      f'Connection: close\r\nContent-Length: {len(data)}\r\n\r\n'.encode() + data)
            answer = b''
            while chunk := s.recv(65536):
                answer += chunk
        return json.loads(answer.split(b'\r\n\r\n', 1)[1])

    def status(self):
        return self.admin('GET', '/api/status')

    def stop(self, number=signal.SIGTERM):
        if self.child is None:
            return
        child, self.child = self.child, None
        child.send_signal(number)
        try:
            self.exit = child.wait(60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise SceneError('the router did not end within 60 s of the signal') from None
        if number == signal.SIGTERM and self.exit:
            raise SceneError(f'the router ended with {self.exit}')

    # -- what it left --

    def trace_path(self):
        return self.path(f'trace-{self.starts}.jsonl')

    def trace(self):
        return json_lines(self.trace_path())

    def router_log(self):
        if not os.path.exists(self.path('router.txt')):
            return ''
        with open(self.path('router.txt'), encoding='utf-8', errors='replace') as f:
            return f.read()

    def leaves_nothing_behind(self):
        """Turns and memory are back to nothing when every client has gone."""
        def clean():
            s = self.status()
            return s['turns_now'] == 0 and s['connections_now'] == 0 and s['memory_percent'] == 0
        until('all turns and connections to be over', clean)

    def settle(self):
        """Anything that was left behind is an error of the scene."""
        if self.child:
            self.leaves_nothing_behind()

    def end(self):
        """Orderly: a leak that a sanitizer finds is an error of the scene too."""
        self.stop()
        if self.provider:
            provider, self.provider = self.provider, None
            provider.stop()

    def destroy(self):
        for child in (self.child, self.provider and self.provider.child):
            if child and child.poll() is None:
                child.kill()
                child.wait()
        shutil.rmtree(self.home, ignore_errors=True)
        World.alive.discard(self)
