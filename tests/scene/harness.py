"""What scenes share: the real router and the scripted provider in a throw-away home.

Everything is on loopback and on free ports; only children of the scene are ended, by pid.
"""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

BIN = os.environ.get('CONTINUO_BIN', '')
PROVIDER = os.environ.get('CONTINUO_PROVIDER', '')
SHORT = 'connect_timeout: 1s, first_byte_timeout: 500ms, idle_timeout: 500ms, progress_timeout: 1s, max_wait: 250ms'
TOOL = {'name': 'Write', 'input_schema': {'type': 'object', 'required': ['file_path']}}
TASK = 'CONTINUO-TASK steps=2 dir=/tmp/x'


def until(what, condition, seconds=20):
    """Waits for a condition; a scene never sleeps for a time that it hopes is enough."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f'waited {seconds} s for {what}')
        time.sleep(0.01)


def same(got, want, what):
    if got != want:
        raise AssertionError(f'{what}: got {got!r}, want {want!r}')


_children = []


def spawn(*args, **more):
    child = subprocess.Popen(*args, **more)
    _children.append(child)
    return child


def end_children():
    """What a scene that failed has left running."""
    for child in _children:
        if child.poll() is None:
            child.kill()
            child.wait()
    _children.clear()


class Provider:
    def __init__(self, home, quirks=None, **scripts):
        self.log = os.path.join(home, 'seen.jsonl')
        args = [PROVIDER, '--log', self.log]
        for name, words in (quirks or {}).items():
            args += ['--quirks', f'{name}={",".join(words)}']
        args += [f'{n}={s}' for n, s in scripts.items()]
        self.child = spawn(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports = json.loads(self.child.stdout.readline())['ports']

    def script(self, name, steps):
        self.child.stdin.write(f'script {name} {steps}\n')
        self.child.stdin.flush()
        same(json.loads(self.child.stdout.readline()), {}, 'what the provider says to a script')

    def seen(self, name=None):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding='utf-8') as f:
            lines = [json.loads(line) for line in f]
        return [line for line in lines if name in (None, line['backend'])]

    def stop(self):
        self.child.stdin.close()
        self.child.wait(10)
        self.child.stdout.close()


class Router:
    """`continuo serve` in a home of its own, with a policy over the given ports."""

    def __init__(self, home, ports, fallback=SHORT, extra=''):
        self.home = home
        self.write_policy(ports, fallback, extra)
        self.start()

    def write_policy(self, ports, fallback=SHORT, extra=''):
        lines = ['listen: 127.0.0.1:0', 'workers: 2', 'backends:']
        lines += [f'  {n}: {{wire: anthropic, url: "http://127.0.0.1:{p}", key: none}}' for n, p in ports.items()]
        lines += ['models:'] + [f'  m-{n}: {{backend: {n}, id: id-{n}}}' for n in ports]
        lines += ['chains:', '  main: [' + ', '.join(f'm-{n}' for n in ports) + ']', 'routes:', '  - use: main']
        lines += [f'fallback: {{{fallback}}}', extra]
        path = os.path.join(self.home, 'policy.yaml')
        with open(path + '.new', 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')
        os.chmod(path + '.new', 0o600)
        os.rename(path + '.new', path)

    def start(self):
        ready = os.path.join(self.home, 'ready.json')
        if os.path.exists(ready):
            os.unlink(ready)
        self.log = open(os.path.join(self.home, 'router.txt'), 'ab')
        self.child = spawn([BIN, 'serve', '--home', self.home, '--ready-file', ready, '--log-level', 'debug'],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log)
        until('the router', lambda: os.path.exists(ready) or self.child.poll() is not None)
        if self.child.poll() is not None:
            raise AssertionError(f'the router ended with {self.child.returncode}: {self.text()[-2000:]}')
        with open(ready, encoding='utf-8') as f:
            self.port = int(json.load(f)['url'].rsplit(':', 1)[1])

    def text(self):
        with open(os.path.join(self.home, 'router.txt'), encoding='utf-8', errors='replace') as f:
            return f.read()

    def admin(self, method, path, body=None):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(os.path.join(self.home, 'admin.sock'))
            data = json.dumps(body or {}).encode()
            s.sendall(f'{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
                      f'Connection: close\r\nContent-Length: {len(data)}\r\n\r\n'.encode() + data)
            answer = b''
            while chunk := s.recv(65536):
                answer += chunk
        return json.loads(answer.split(b'\r\n\r\n', 1)[1])

    def token(self, **more):
        return self.admin('POST', '/api/tokens', more)['token']

    def status(self):
        return self.admin('GET', '/api/status')

    def stop(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        code = self.child.wait(30)
        self.log.close()
        if how == signal.SIGTERM and code != 0:
            raise AssertionError(f'the router ended with {code}: {self.text()[-3000:]}')


class Edited(Router):
    """Its policy has some words replaced."""

    def __init__(self, home, ports, words):
        self.words = words
        super().__init__(home, ports)

    def write_policy(self, ports, fallback=SHORT, extra=''):
        super().write_policy(ports, fallback, extra)
        path = f'{self.home}/policy.yaml'
        with open(path, encoding='utf-8') as f:
            text = f.read()
        for old, new in self.words.items():
            text = text.replace(old, new)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)


class Answer:
    """A response read to its end: status, headers, body, and the stream's events if it is one."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = b''
        self.broken = False
        try:
            self.body = response.read()
        except (http.client.IncompleteRead, ConnectionError) as e:
            self.body = getattr(e, 'partial', b'')
            self.broken = True

    def json(self):
        return json.loads(self.body)

    def events(self):
        found = []
        for part in self.body.decode().split('\n\n'):
            lines = [line for line in part.split('\n') if line and not line.startswith(':')]
            if lines:
                name = [line[7:] for line in lines if line.startswith('event: ')][0]
                found.append((name, json.loads('\n'.join(line[6:] for line in lines if line.startswith('data: ')))))
        return found

    def checked(self):
        """The promise of a well-formed answer, to the letter; gives text, calls and stop reason."""
        text, calls, at, stop, index = '', [], 'start', None, 0
        for name, data in self.events():
            same(data['type'], name, 'the type inside an event')
            if name == 'ping':
                continue
            if name == 'message_start':
                same(at, 'start', 'where message_start came')
                at = 'blocks'
                assert isinstance(data['message']['usage']['input_tokens'], int)
            elif name == 'content_block_start':
                same((at, data['index']), ('blocks', index), 'where a block began')
                at, block, partial = 'in', data['content_block'], ''
            elif name == 'content_block_delta':
                same((at, data['index']), ('in', index), 'where a delta came')
                text += data['delta'].get('text', '')
                partial += data['delta'].get('partial_json', '')
            elif name == 'content_block_stop':
                same((at, data['index']), ('in', index), 'where a block ended')
                at, index = 'blocks', index + 1
                if block['type'] == 'tool_use':
                    calls.append((block['id'], block['name'], json.loads(partial or '{}')))
            elif name == 'message_delta':
                same(at, 'blocks', 'where message_delta came')
                at, stop = 'end', data['delta']['stop_reason']
                assert isinstance(data['usage']['output_tokens'], int)
            elif name == 'message_stop':
                same(at, 'end', 'where message_stop came')
                at = 'over'
            else:
                raise AssertionError(f'an event {name}: {data}')
        same(at, 'over', 'how far the stream came')
        assert not self.broken
        return text, calls, stop


def request_body(**more):
    body = {'model': 'claude-x', 'messages': [{'role': 'user', 'content': TASK}], 'tools': [TOOL], 'max_tokens': 100, 'stream': True}
    body.update(more)
    return {k: v for k, v in body.items() if v is not None}


def post(port, token, body=None, path='/v1/messages?beta=true', headers=None, timeout=30, method='POST'):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout)
    head = {'content-type': 'application/json'}
    if token:
        head['x-continuo-token'] = token
    head.update(headers or {})
    if body is None and method == 'POST':
        body = request_body()
    connection.request(method, path, json.dumps(body) if body is not None else None, head)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def raw(port, data, timeout=10):
    """Bytes as they are; what comes back until the other side closes."""
    with socket.create_connection(('127.0.0.1', port), timeout) as s:
        s.sendall(data)
        got = b''
        try:
            while chunk := s.recv(65536):
                got += chunk
        except (TimeoutError, ConnectionError):
            pass
    return got


_scenes = []


def scene(function):
    _scenes.append(function)
    return function


def main():
    """Runs the scenes of the file; prints both sides of what failed, and the totals."""
    passed = failed = 0
    for function in _scenes:
        home = tempfile.mkdtemp(prefix='continuo-scene-')
        began = time.monotonic()
        try:
            function(home)
            passed += 1
            print(f'ok   {function.__name__} ({time.monotonic() - began:.1f} s)')
        except Exception:  # a scene may fail in any way; the others go on
            failed += 1
            print(f'FAIL {function.__name__}: {function.__doc__}')
            traceback.print_exc(file=sys.stdout)
            log = os.path.join(home, 'router.txt')
            if os.path.exists(log):
                with open(log, encoding='utf-8', errors='replace') as f:
                    print(f.read()[-3000:])
        finally:
            end_children()
            shutil.rmtree(home, ignore_errors=True)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0
