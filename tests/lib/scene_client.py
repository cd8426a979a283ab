"""A client that believes nothing: it reads HTTP/1.1 and events to the letter.

Whatever of an answer breaks the promise of design/continuity.md stands in `wrong`.
"""
import json
import re
import socket
import threading

SECONDS = 60
ENDINGS = ('end_turn', 'tool_use', 'max_tokens', 'stop_sequence', 'refusal', 'pause_turn', 'model_context_window_exceeded')


class Broken(Exception):
    """The connection ended, or was no HTTP, before the answer was whole."""


class Ids:
    """Ids that the conversations of a scene have seen: none may come twice."""

    def __init__(self):
        self.seen, self.lock = set(), threading.Lock()

    def fresh(self, name):
        with self.lock:
            if not isinstance(name, str) or not name or name in self.seen:
                return False
            self.seen.add(name)
            return True


class Connection:
    def __init__(self, address, receive_buffer=0):
        self.seen = bytearray()  # all that ever came
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(SECONDS)
        self.socket.connect(address)
        self.bytes = b''

    def send(self, data):
        """A refusal may come, and the connection go, before all was taken."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def more(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, TimeoutError, OSError) as e:
            raise Broken(f'{type(e).__name__} while reading') from e
        if not data:
            raise Broken('the connection was closed')
        self.bytes += data
        self.seen += data

    def line(self):
        while b'\r\n' not in self.bytes:
            if len(self.bytes) > 1 << 20:
                raise Broken('a line without end')
            self.more()
        line, self.bytes = self.bytes.split(b'\r\n', 1)
        return line

    def take(self, n):
        while len(self.bytes) < n:
            self.more()
        data, self.bytes = self.bytes[:n], self.bytes[n:]
        return data

    def rest(self):
        """Everything until the other side closes."""
        try:
            while True:
                self.more()
        except Broken:
            data, self.bytes = self.bytes, b''
            return data

    def is_closed(self, seconds=SECONDS):
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b''
        except ConnectionError:
            return True
        except OSError:
            return False

    def close(self):
        self.socket.close()


class Answer:
    """A response as it came, and what it means."""

    def __init__(self):
        self.status, self.headers, self.trailers = 0, [], []
        self.body, self.chunked, self.whole, self.why = b'', False, False, ''
        self.reading = None

    def header(self, name):
        values = [v for n, v in self.headers if n == name]
        return values[0] if values else None

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def is_stream(self):
        return (self.header('content-type') or '').startswith('text/event-stream')

    def text(self):
        head = ''.join(f'{n}: {v}\n' for n, v in self.headers)
        body = self.body if len(self.body) < 3000 else self.body[:1500] + b' ...\n... ' + self.body[-1500:]
        return f'{self.status}\n{head}\n{body.decode(errors="backslashreplace")}\n[{self.why or "whole"}]'


def read_fields(c):
    fields = []
    while line := c.line():
        name, colon, value = line.partition(b':')
        if not colon or not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise Broken(f'no field: {line!r}')
        fields.append((name.decode().lower(), value.strip().decode('latin-1')))
    return fields


def read_chunks(c, answer, stop_after):
    while True:
        size = c.line()
        if not re.fullmatch(rb'[0-9a-fA-F]+', size):
            raise Broken(f'no chunk size: {size[:40]!r}')
        if int(size, 16) == 0:
            answer.trailers = read_fields(c)
            return
        answer.body += c.take(int(size, 16))
        if c.take(2) != b'\r\n':
            raise Broken('a chunk that is longer than it said')
        if stop_after is not None and len(answer.body) >= stop_after:
            raise Broken('left by the client')


def read_answer(c, method='POST', stop_after=None, on_head=None):
    a = Answer()
    try:
        start = c.line()
        match = re.fullmatch(rb'HTTP/1\.1 (\d{3}) [ -~]*', start)
        if not match:
            raise Broken(f'no status line: {start[:60]!r}')
        a.status = int(match[1])
        if a.status == 100:
            read_fields(c)
            return read_answer(c, method, stop_after, on_head)
        a.headers = read_fields(c)
        if on_head:
            on_head(a)
        length, a.chunked = a.header('content-length'), a.header('transfer-encoding') == 'chunked'
        if (length is None) != a.chunked:
            raise Broken('neither a length nor chunks, or both')
        if method == 'HEAD':
            pass
        elif a.chunked:
            read_chunks(c, a, stop_after)
        else:
            a.body = c.take(int(length))
        a.whole = True
    except Broken as e:
        a.why = str(e)
    return a


# ---- events ----


class Reading:
    """The events of a stream against the promise; `wrong` says where it was broken."""

    def __init__(self, ids):
        self.ids, self.at, self.wrong = ids, 'start', None
        self.blocks, self.comments, self.pings = [], [], 0
        self.stop = self.error = self.model = None
        self.partial = ''

    @property
    def text(self):
        return ''.join(b.get('text', '') for b in self.blocks if b['type'] == 'text')

    @property
    def tools(self):
        return [b for b in self.blocks if b['type'] == 'tool_use']

    def event(self, name, data):
        handler = getattr(self, 'on_' + name, None)
        if data.get('type') != name:
            return f'event {name} holds type {data.get("type")}'
        if self.at in ('over', 'error'):
            return f'{name} after the end'
        return handler(data) if handler else f'an event of the unknown name {name}'

    def on_ping(self, data):
        self.pings += 1

    def on_error(self, data):
        # Text is kept by the client only when it was closed; what is thrown away stays open.
        if self.at == 'block' and self.blocks[-1]['type'] == 'text':
            return 'an error event inside of a text block'
        if self.at == 'stop':
            return 'an error event after message_delta'
        if not isinstance(data['error'].get('message'), str):
            return 'an error without a message'
        self.at, self.error = 'error', data['error']

    def on_message_start(self, data):
        m = data['message']
        if self.at != 'start':
            return 'a second message_start'
        if not self.ids.fresh(m.get('id')):
            return f'the message id {m.get("id")} was given before'
        if m['content'] != [] or m['role'] != 'assistant' or m['type'] != 'message':
            return 'message_start is not of a new message'
        if not isinstance(m['usage'].get('input_tokens'), int):
            return 'no input_tokens at the start'
        self.at, self.model = 'blocks', m['model']

    def on_content_block_start(self, data):
        block = data['content_block']
        if self.at != 'blocks' or data['index'] != len(self.blocks):
            return f'block {data["index"]} begins {self.at}, where {len(self.blocks)} would be next'
        if block['type'] == 'tool_use' and not self.ids.fresh(block.get('id')):
            return f'the tool id {block.get("id")} was given before'
        self.at, self.partial = 'block', ''
        self.blocks.append(dict(block))

    def on_content_block_delta(self, data):
        if self.at != 'block' or data['index'] != len(self.blocks) - 1:
            return 'a delta outside of its block'
        delta, block = data['delta'], self.blocks[-1]
        if delta['type'] == 'input_json_delta':
            self.partial += delta['partial_json']
        else:
            for key in ('text', 'thinking', 'signature'):
                if key in delta:
                    block[key] = block.get(key, '') + delta[key]

    def on_content_block_stop(self, data):
        if self.at != 'block' or data['index'] != len(self.blocks) - 1:
            return 'a stop of a block that is not open'
        self.at = 'blocks'
        if self.blocks[-1]['type'] == 'tool_use':
            try:
                self.blocks[-1]['input'] = json.loads(self.partial or '{}')
            except ValueError:
                return f'the input of a call is no JSON: {self.partial}'

    def on_message_delta(self, data):
        if self.at != 'blocks':
            return 'message_delta out of place'
        self.at, self.stop = 'stop', data['delta']['stop_reason']
        if not isinstance(data['usage'].get('output_tokens'), int):
            return 'no numeric usage'
        return check_stop(self.stop, self.blocks)

    def on_message_stop(self, data):
        if self.at != 'stop':
            return 'message_stop out of place'
        self.at = 'over'


def check_stop(stop, blocks):
    if stop not in ENDINGS:
        return f'the stop_reason {stop}'
    if (stop == 'tool_use') != any(b['type'] == 'tool_use' for b in blocks):
        return f'the stop_reason {stop} contradicts the content'
    if not blocks and stop != 'refusal':
        return 'a normal end of nothing'
    return None


def read_stream(body, ids):
    """Reads the body of a stream, event by event, as the writer promises to write it."""
    r = Reading(ids)
    text = body.decode()
    if '\r' in text:
        r.wrong = 'a carriage return in the stream'
    parts = text.split('\n\n')
    if parts.pop() != '':
        r.wrong = r.wrong or 'the stream ends inside of an event'
    for part in parts:
        lines = part.split('\n')
        if all(line.startswith(':') for line in lines):
            r.comments += [line[1:].strip() for line in lines]
            continue
        if len(lines) != 2 or not lines[0].startswith('event: ') or not lines[1].startswith('data: '):
            r.wrong = r.wrong or f'no event of ours: {part[:200]!r}'
            break
        try:
            r.wrong = r.wrong or r.event(lines[0][7:], json.loads(lines[1][6:]))
        except (ValueError, KeyError, TypeError) as e:
            r.wrong = f'{type(e).__name__} {e} in {part[:200]!r}'
        if r.wrong:
            break
    return r


def read_message(body, ids):
    """A whole message as if it had been streamed."""
    r = Reading(ids)
    try:
        m = json.loads(body)
        r.blocks, r.stop, r.model = m['content'], m['stop_reason'], m['model']
        if m['type'] != 'message' or m['role'] != 'assistant':
            r.wrong = 'this is no message'
        elif not ids.fresh(m['id']) or not all(ids.fresh(b['id']) for b in r.tools):
            r.wrong = 'an id that was given before'
        elif not isinstance(m['usage']['output_tokens'], int) or not isinstance(m['usage']['input_tokens'], int):
            r.wrong = 'no numeric usage'
        else:
            r.wrong = check_stop(r.stop, r.blocks)
        r.at = 'over'
    except (ValueError, KeyError, TypeError) as e:
        r.wrong = f'{type(e).__name__} {e} in the message'
    return r
