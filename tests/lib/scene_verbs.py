"""What a scene does: sets up its world, and has clients and the router act.  The verbs: scene.py.
"""
import concurrent.futures
import fnmatch
import json
import os
import re
import signal
import subprocess
import threading

import scene_stream
from scene_client import Broken, Connection, Ids, read_answer, read_message, read_stream
from scene_text import SceneError
from scene_world import flow, until

OPTIONS = ('steps', 'body', 'pad', 'token', 'path', 'times', 'parallel', 'leave')
SIGNALS = {'hup': signal.SIGHUP, 'term': signal.SIGTERM}  # sent, and not waited for
FLAGS = ('keep', 'unix', 'background', 'slow')
TOOL = {'name': 'Write', 'description': 'Writes a file.', 'input_schema': {
    'type': 'object', 'properties': {'file_path': {'type': 'string'}, 'content': {'type': 'string'}}, 'required': ['file_path', 'content']}}


class Options:
    def __init__(self, words):
        self.flags, self.fields, self.headers, self.values = set(), {}, [], {}
        for word in words:
            key, equals, value = word.partition('=')
            if not equals:
                if key not in FLAGS:
                    raise SceneError(f'no such option: {word}')
                self.flags.add(key)
            elif key == 'header':
                self.headers.append(value)
            elif key in OPTIONS:
                self.values[key] = value
            else:
                self.fields[key] = value

    def get(self, key, default=None):
        return self.values.get(key, default)


class Client:
    """One client of a scene: its kept connection, its request under way, its conversation."""

    def __init__(self):
        self.connection = self.thread = self.failure = None
        self.kept = False
        self.messages, self.answers = None, []
        self.seen = b''

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection, self.kept = None, False


class Verbs:
    def __init__(self, world):
        self.world, self.ids = world, Ids()
        self.clients, self.answers, self.sent = {}, [], None
        self.ran = None
        self.cooled_from = 0  # what the trace held at the last reset

    def seen(self, name=None):
        return self.world.provider.seen(name) if self.world.provider else []

    # ---- the world ----

    def setup(self, text):
        verb, rest = text.split(None, 1)
        name, _, value = rest.partition(':')
        name, value, w = name.strip(), value.strip(), self.world
        if verb == 'upstream':
            w.scripts[name] = value
        elif verb == 'script':
            w.provider.command(f'script {name} {w.fill(value)}')
        elif verb == 'policy':
            w.policy.set(name, value.replace('\\n', '\n') if name == 'text' else value)
        elif verb == 'backend':
            w.policy.backends.setdefault(name, {}).update(flow(value))
        elif verb == 'model':
            w.policy.models.setdefault(name, {}).update(flow(value))
        elif verb == 'stream':
            w.write(name, scene_stream.make(value))

    def run(self, words):
        handler = getattr(self, 'do_' + words[0], None)
        if not handler:
            raise SceneError(f'no such verb: {words[0]}')
        handler(words[1:])

    def do_chain(self, words):
        self.world.policy.chain = words

    def do_write(self, words):
        if words == ['policy']:
            self.world.start_provider()
            self.world.write_policy()
        else:
            self.world.write(words[0], self.world.fill(words[1]))

    def do_mkdir(self, words):
        os.makedirs(self.world.path(words[0]), 0o700)

    def do_damage(self, words):
        with open(self.world.path(words[0]), 'r+b') as f:
            f.seek(int(words[1]))
            byte = f.read(1)
            f.seek(int(words[1]))
            f.write(bytes([byte[0] ^ 0xff]))

    def do_router(self, words):
        w = self.world
        for option in words[1:]:
            key, _, value = option.partition('=')
            if key != 'passphrase':
                raise SceneError(f'no such option: {option}')
            w.passphrase = value
        if words[0] in ('stop', 'restart'):
            w.stop()
        if words[0] == 'kill':
            w.serving()
            w.stop(signal.SIGKILL)
        if words[0] in ('start', 'restart'):
            w.exit = self.ran = None
            self.cooled_from = 0
            w.start()
        if words[0] in SIGNALS:
            w.serving()
            w.child.send_signal(SIGNALS[words[0]])

    def do_run(self, words):
        self.world.start_provider()
        given = {'stdin': '', 'until': ''}
        args = []
        for word in words:
            key, equals, value = word.partition('=')
            if equals and key in given:
                given[key] = self.world.fill(value)
            else:
                args.append(self.world.fill(word))

        def says():
            self.ran = subprocess.run([self.world.binary] + args, input=given['stdin'], capture_output=True, text=True, timeout=120, check=False)
            return given['until'] in self.ran.stdout
        until(f'{given["until"]!r} from {" ".join(args)}', says)

    def do_go(self, words):
        for _ in range(int(words[1]) if len(words) > 1 else 1):
            self.world.provider.command('go ' + words[0])

    def do_reset(self, words):
        self.world.serving()
        self.cooled_from = len(self.world.trace())
        self.world.admin('POST', '/api/reset', {'name': words[0]} if words else {})

    def do_token(self, words):
        self.world.serving()
        body = {k: int(v) if v.isdigit() else v for k, _, v in (w.partition('=') for w in words[1:])}
        self.world.token = self.world.admin('POST', '/api/tokens', {'name': words[0], 'scopes': ['turn'], **body})['token']

    def do_wait(self, words):
        if words[0] == 'ready':
            name = words[1] if len(words) > 1 else '*'
            until(f'{name} to be ready', lambda: not [
                c for c in self.world.status()['cooldowns'] if c['ready_in_ms'] and fnmatch.fnmatchcase(c['name'], name)])
            return
        text, times = words[1] if len(words) > 1 else None, int(words[2]) if len(words) > 2 else 1
        until(' '.join(words) + ' in the trace', lambda: times <= len([
            t for t in self.world.trace() if t['event'] == words[0] and text in (None, t['text'])]))

    # ---- clients ----

    def do_client(self, words):
        name = '' if words[0] in CLIENT_VERBS else words.pop(0)
        client = self.clients.setdefault(name, Client())
        if not words or words[0] not in CLIENT_VERBS:
            raise SceneError(f'no such verb of a client: {words[0] if words else name}')
        if words[0] not in ('wait', 'drop', 'more'):
            self.world.serving()
        CLIENT_VERBS[words[0]](self, client, words[1:])

    def client_post(self, client, words):
        o = Options(words)
        client.answers, client.seen = [], b''
        if 'background' in o.flags:
            client.thread = threading.Thread(target=self.posts_caught, args=(client, o), daemon=True)
            client.thread.start()
        else:
            self.answers = client.answers
            self.posts(client, o)

    def posts_caught(self, client, o):
        try:
            self.posts(client, o)
        except Exception as e:  # told by `wait`
            client.failure = e

    def posts(self, client, o):
        if o.get('steps'):
            self.converse(client, o)
            return
        times, parallel = int(o.get('times', 1)), int(o.get('parallel', 1))
        if parallel > 1:
            with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
                client.answers += pool.map(lambda _: self.post(Client(), o), range(times if times > 1 else parallel))
        else:
            for _ in range(times):
                client.answers.append(self.post(client, o))

    def client_count(self, client, words):
        o = Options(['path=/v1/messages/count_tokens?beta=true', 'stream=null', 'max_tokens=null'] + words)
        self.answers = [self.post(client, o)]

    def client_get(self, client, words):
        self.client_request(client, ['GET'] + words)

    def client_head(self, client, words):
        self.client_request(client, ['HEAD'] + words)

    def client_request(self, client, words):
        o = Options(words[2:])
        self.answers = [self.exchange(client, o, words[0], words[1], None)]

    def client_raw(self, client, words):
        o = Options(words[1:])
        client.close()
        c = client.connection = Connection(self.address(o))
        c.send(self.world.fill(words[0]).encode('latin-1'))
        self.answers = [read_answer(c)]

    def client_more(self, client, words):
        """The next answer on a raw connection."""
        self.answers = [read_answer(client.connection)]

    def client_reads(self, client, words):
        text = words[0].encode()

        def came():
            if text in client.seen:
                return True
            if client.thread is None or not client.thread.is_alive():
                raise SceneError(f'the answer is over and does not hold {words[0]!r}: {bytes(client.seen)!r}')
            return False
        until(f'{words[0]!r} to be read', came)

    def client_wait(self, client, words):
        client.thread.join(120)
        if client.thread.is_alive():
            raise SceneError('a client in the background does not come to its end')
        client.thread = None
        self.answers = client.answers
        if client.failure:
            raise SceneError(f'a client in the background: {client.failure}')

    def client_drop(self, client, words):
        """Leaves, whatever is under way; the answer does not matter any more."""
        if client.connection:
            try:
                client.connection.socket.shutdown(2)
            except OSError:
                pass
        if client.thread:
            client.thread.join(60)
            client.thread = None
        client.close()

    # ---- one request ----

    def address(self, o):
        return self.world.path('client.sock') if 'unix' in o.flags else ('127.0.0.1', self.world.port)

    def body(self, client, o):
        given = o.get('body')
        if given and given.startswith('@'):
            with open(self.world.path(given[1:]), 'rb') as f:
                return f.read()
        if given is not None:
            return self.world.fill(given).encode()
        content = f'Please do this task. CONTINUO-TASK steps={o.get("steps", 2)} dir=/tmp/scene ' + 'x' * scene_stream.size(o.get('pad', '0'))
        body = {'model': 'claude-x', 'messages': client.messages or [{'role': 'user', 'content': content}],
                'tools': [TOOL], 'max_tokens': 1000, 'stream': True}
        for key, value in o.fields.items():
            body[key] = json.loads(value) if value[:1] in '[{-0123456789' or value in ('null', 'true', 'false') else value
        return json.dumps({k: v for k, v in body.items() if v is not None}).encode()

    def post(self, client, o):
        return self.exchange(client, o, 'POST', o.get('path', '/v1/messages?beta=true'), self.body(client, o))

    def head(self, o, method, path, body):
        own = {h.partition(':')[0].lower() for h in o.headers}
        lines = [f'{method} {path} HTTP/1.1']
        usual = [('Host', f'127.0.0.1:{self.world.port}'), ('Content-Type', 'application/json'), ('anthropic-version', '2023-06-01'),
                 ('x-continuo-token', {None: self.world.token, 'none': ''}.get(o.get('token'), o.get('token')))]
        lines += [f'{n}: {v}' for n, v in usual if v and n.lower() not in own]
        lines += [self.world.fill(h) for h in o.headers]
        if body is not None and 'transfer-encoding' not in own:
            lines.append(f'Content-Length: {len(body)}')
        return '\r\n'.join(lines).encode() + b'\r\n\r\n'

    def exchange(self, client, o, method, path, body):
        if not client.kept:
            client.close()
        c = client.connection
        if c is None:
            c = client.connection = Connection(self.address(o), 4096 if 'slow' in o.flags else 0)
        leave = o.get('leave')
        before = len(self.world.trace()) if leave and not leave.isdigit() else 0
        c.send(self.head(o, method, path, body) + (body or b''))
        client.seen, self.sent = c.seen, body
        if leave and not leave.isdigit():
            until(f'{leave} in the trace', lambda: [t for t in self.world.trace()[before:] if leave in (t['event'], t['text'])])
            client.close()
            return None
        answer = read_answer(c, method, int(leave) if leave else None, self.slowly if 'slow' in o.flags else None)
        if answer.status == 200 and path.startswith('/v1/messages') and 'count_tokens' not in path:
            answer.reading = read_stream(answer.body, self.ids) if answer.is_stream else read_message(answer.body, self.ids)
        if path.startswith('/v1/') and answer.status:
            check_named(answer)
        if 'keep' not in o.flags or not answer.whole:
            if not leave and answer.whole and answer.header('connection') == 'close' and not c.is_closed():
                raise SceneError('the router said connection: close and did not close')
            client.close()
        client.kept = client.connection is not None
        return answer

    def slowly(self, answer):
        """The head was read; nothing more until the router has paused the upstream."""
        until('the upstream to be paused', lambda: [t for t in self.world.trace() if t['text'] == 'paused'])

    def converse(self, client, o):
        """The whole task, turn after turn, each answer whole and in its place."""
        steps = int(o.get('steps'))
        client.messages = json.loads(self.body(client, o))['messages']
        for step in range(1, steps + 2):
            a = self.post(client, o)
            client.answers.append(a)
            r = a.reading
            if a.status != 200 or not a.whole or r.wrong or r.at != 'over':
                raise SceneError(f'step {step} of the task: status {a.status}, {r and (r.wrong or r.at)}')
            inputs = [t['input'] for t in r.tools]
            want = [] if step > steps else [{'file_path': f'/tmp/scene/step-{step}.txt', 'content': f'step {step}\n'}]
            if inputs != want:
                raise SceneError(f'step {step} of the task: the calls are {inputs}, not {want}')
            client.messages.append({'role': 'assistant', 'content': r.blocks})
            client.messages.append({'role': 'user', 'content': [
                {'type': 'tool_result', 'tool_use_id': t['id'], 'content': 'written'} for t in r.tools]})

    # ---- the end ----

    def end(self):
        for client in self.clients.values():
            if client.thread:
                self.client_wait(client, [])
            client.close()
        for s in self.seen():
            if 'breach' in s:
                raise SceneError(f'request {s["n"]} to {s["backend"]} breaks a rule of its format: {s["breach"]}: {s["body"][:3000]}')

    def drop_all(self):
        for client in self.clients.values():
            self.client_drop(client, [])


def check_named(a):
    """What stands on every answer of /v1/: who answered, what was tried, and the request's id."""
    for name in ('x-model-used', 'x-continuo-attempts', 'request-id'):
        if a.header(name) is None:
            raise SceneError(f'{name} is missing on an answer with status {a.status}')
    if a.status >= 400:
        body = a.json()
        if not isinstance(body, dict) or body.get('type') != 'error':
            raise SceneError(f'status {a.status} without an error body')


CLIENT_VERBS = {name[7:]: getattr(Verbs, name) for name in dir(Verbs) if name.startswith('client_')}
__all__ = ['Verbs', 'Broken']
