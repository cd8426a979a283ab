"""A backend that answers by what it is asked, in either format, with faults to choose from.

It understands the questions of `continuo probe` as a good model would; each fault is a word
that spoils one thing.  Answers are made in one neutral form (text, calls, stop reason) and
written as Messages or as Chat Completions, whole or as a stream.
"""
import base64
import http.server
import json
import re
import struct
import threading
import zlib

CITIES = re.compile(r'of (Paris|Oslo)( and of (Rome))? with the tool')
LIMIT = 8192  # what `ceiling` names


class Refusal(Exception):
    def __init__(self, status, message, kind='invalid_request_error', **headers):
        super().__init__(message)
        self.status, self.message, self.kind, self.headers = status, message, kind, headers


def parts_of(content):
    return [{'type': 'text', 'text': content}] if isinstance(content, str) else content or []


def text_of(content):
    """All text in a content, that in results included."""
    found = []
    for part in parts_of(content):
        found.append(part.get('text') or '')
        if part.get('type') == 'tool_result':
            found.append(text_of(part.get('content')))
    return ' '.join(found)


def pictures_of(content):
    """Base64 of the pictures, in either format."""
    found = []
    for part in parts_of(content):
        if part.get('type') == 'image':
            found.append(part['source']['data'])
        elif part.get('type') == 'image_url':
            found.append(part['image_url']['url'].split(',', 1)[1])
        elif part.get('type') == 'tool_result':
            found += pictures_of(part.get('content'))
    return found


def colour_of(data):
    """The colour of a PNG of one colour, every byte of which is checked as a decoder would."""
    png = base64.b64decode(data, validate=True)
    assert png.startswith(b'\x89PNG\r\n\x1a\n'), png[:16]
    chunks, at = {}, 8
    while at < len(png):
        size, kind = struct.unpack('>I4s', png[at:at + 8])
        chunks[kind] = png[at + 8:at + 8 + size]
        assert struct.unpack('>I', png[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + chunks[kind]), kind
        at += 12 + size
    width, height, depth, colour = struct.unpack('>IIBB', chunks[b'IHDR'][:10])
    assert (depth, colour) == (1, 3) and b'IEND' in chunks, chunks
    assert zlib.decompress(chunks[b'IDAT']) == bytes((1 + width // 8) * height), 'its pixels'
    return {b'\xe0\x00\x00': 'Red', b'\x00\x00\xe0': 'Blue'}[chunks[b'PLTE']]


def answer_to(body, faults):
    """{text, calls, stop, sequence, thinking} of a request of either format."""
    messages = body['messages']
    if not messages and 'takes_all' not in faults:
        raise Refusal(400, 'messages: at least one message is required')
    if body['max_tokens'] > LIMIT * 4 and 'ceiling' in faults:
        raise Refusal(400, f'max_tokens: {body["max_tokens"]} > {LIMIT}, which is the maximum allowed number of output tokens')
    if 'no_thinking' in faults and 'thinking' in body:
        raise Refusal(400, 'thinking: Extra inputs are not permitted')
    if 'no_adaptive' in faults and body.get('thinking', {}).get('type') == 'adaptive':
        raise Refusal(400, 'thinking: Input tag adaptive does not match any of the expected tags')
    if 'no_budget' in faults and body.get('thinking', {}).get('type') == 'enabled':
        raise Refusal(400, '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive".')
    if 'no_choice' in faults and isinstance(body.get('tool_choice'), dict):
        raise Refusal(400, 'tool_choice: only auto is supported')
    if 'no_images' in faults and any(pictures_of(m['content']) for m in messages):
        raise Refusal(400, 'this model does not support image input')
    if 'strict' in faults and 'continuo_probe' in body:
        raise Refusal(400, 'continuo_probe: Extra inputs are not permitted')
    if 'no_late_system' in faults and any(m['role'] == 'system' for m in messages[1:]):
        raise Refusal(400, 'messages: Unexpected role "system"')
    got = {'text': 'Well.', 'calls': [], 'stop': 'end_turn', 'sequence': None, 'thinking': ''}
    if body.get('thinking', {}).get('type') in ('adaptive', 'enabled'):
        got['thinking'] = '17 times 23 is 391.'
    think(body, got, faults)
    end(body, got, faults)
    return got


def think(body, got, faults):
    """What a good model would say, but for its faults."""
    messages = body['messages']
    last = messages[-1] if messages else {'role': 'user', 'content': ''}
    said = text_of(last['content'])
    system = '' if 'drops_system' in faults else text_of(body.get('system'))
    everything = system + ' '.join(text_of(m['content']) for m in messages)
    pictures = [p for m in messages for p in pictures_of(m['content'])]
    cities = CITIES.search(said)
    if last['role'] == 'assistant':
        if 'no_prefill' in faults:
            raise Refusal(400, 'This model does not support assistant message prefill. The conversation must end with a user message.')
        whole = 'one two three four five six seven eight'
        got['text'] = whole if 'repeats' in faults else whole.removeprefix(said)
    elif pictures:
        got['text'] = f'{colour_of(pictures[-1])}.'
    elif 'code word' in said:
        words = re.findall(r'The code word is ([A-Z]+-\d)', everything)
        got['text'] = f'It is {words[-1]}.' if words else 'I know of no code word.'
    elif '4711' in everything:
        got['text'] = 'The number is 4711.'
    elif 'Which station' in said:
        got['text'] = 'Station QX-81.'
    elif cities and body.get('tools'):
        names = [c for c in (cities[1], cities[3]) if c]
        if 'leaks' in faults:
            got['text'] = f'<tool_call>{{"name": "get_weather", "arguments": {{"city": "{names[0]}"}}}}</tool_call>'
        else:
            got.update(text='', stop='tool_use', calls=names[:1] if 'one_call' in faults else names)
    elif isinstance(body.get('tool_choice'), dict):
        got.update(text='', stop='tool_use', calls=['Lima'])
    elif '1 to 60' in said:
        got['text'] = ', '.join(str(n) for n in range(1, 61))
    elif '1 to 300' in said:
        got['text'] = ', '.join(str(n) for n in range(1, 301))
    elif 'exactly this line' in said:
        got['text'] = said.split(': ', 1)[1]
    elif '17 times 23' in said:
        got['text'] = '395'
    elif 'pong' in said:
        got['text'] = 'pong'


def end(body, got, faults):
    """Stop sequences and max_tokens, a token being four characters here."""
    stops = body.get('stop_sequences') or body.get('stop') or []
    for word in [] if 'ignores_stop' in faults else stops:
        if word in got['text']:
            got.update(text=got['text'][:got['text'].index(word)], stop='stop_sequence', sequence=word)
    if len(got['text']) > 4 * body['max_tokens']:
        got.update(text=got['text'][:4 * body['max_tokens']], stop='max_tokens')


class Writer:
    """An answer in one of the formats."""

    def __init__(self, server, body, got):
        self.faults, self.body, self.got = server.faults, body, got
        self.model = 'another-model-entirely' if 'renamed' in self.faults else body['model']
        tokens = len(json.dumps({k: body.get(k) for k in ('system', 'messages', 'tools')})) // 4
        key = json.dumps(body.get('system')) + json.dumps(body['messages'])
        self.cached = tokens if len(key) > 4000 and key in server.prompts else 0
        server.prompts.add(key)
        self.input, self.output = tokens - self.cached, max(1, len(got['text'] + got['thinking']) // 4)

    def pieces(self):
        size = 10000 if 'lumps' in self.faults else 9
        text = self.got['text']
        return [text[i:i + size] for i in range(0, len(text), size)]


class Messages(Writer):
    def usage(self):
        if 'no_usage' in self.faults:
            return {}
        return {'usage': {'input_tokens': self.input, 'output_tokens': self.output, 'cache_read_input_tokens': self.cached}}

    def blocks(self):
        got = self.got
        if got['thinking']:
            yield {'type': 'thinking', 'thinking': got['thinking'], 'signature': 'c2lnbmVk'}
        if got['text']:
            yield {'type': 'text', 'text': got['text']}
        for n, city in enumerate(got['calls']):
            yield {'type': 'tool_use', 'id': f'toolu_{n:04d}', 'name': 'get_weather', 'input': {'city': city}}

    def message(self, content):
        return {'id': 'msg_1', 'type': 'message', 'role': 'assistant', 'model': self.model, 'content': content,
                'stop_reason': self.got['stop'] if content else None, 'stop_sequence': self.got['sequence'] if content else None,
                **self.usage()}

    def whole(self):
        return self.message(list(self.blocks()))

    def events(self):
        yield {'type': 'message_start', 'message': self.message([])}
        for index, block in enumerate(self.blocks()):
            kind = block['type']
            empty = {'text': {'text': ''}, 'thinking': {'thinking': '', 'signature': ''}, 'tool_use': {'input': {}}}[kind]
            yield {'type': 'content_block_start', 'index': index, 'content_block': {**block, **empty}}
            if kind == 'text':
                deltas = [{'type': 'text_delta', 'text': p} for p in self.pieces()]
            elif kind == 'thinking':
                deltas = [{'type': 'thinking_delta', 'thinking': block['thinking']},
                          {'type': 'signature_delta', 'signature': block['signature']}]
            else:
                deltas = [{'type': 'input_json_delta', 'partial_json': json.dumps(block['input'])}]
            for delta in deltas:
                yield {'type': 'content_block_delta', 'index': index, 'delta': delta}
            yield {'type': 'content_block_stop', 'index': index}
        yield {'type': 'message_delta', 'delta': {'stop_reason': self.got['stop'], 'stop_sequence': self.got['sequence']}, **self.usage()}
        yield {'type': 'message_stop'}

    def stream(self):
        return [f'event: {e["type"]}\ndata: {json.dumps(e)}\n\n'.encode() for e in self.events()]


class Chat(Writer):
    def usage(self):
        if 'no_usage' in self.faults:
            return {}
        return {'usage': {'prompt_tokens': self.input + self.cached, 'completion_tokens': self.output, 'total_tokens': 1,
                          'prompt_tokens_details': {'cached_tokens': self.cached}}}

    def reason(self):
        return {'tool_use': 'tool_calls', 'max_tokens': 'length'}.get(self.got['stop'], 'stop')

    def calls(self):
        return [{'index': n, 'id': f'call_{n:04d}', 'type': 'function',
                 'function': {'name': 'get_weather', 'arguments': json.dumps({'city': city})}} for n, city in enumerate(self.got['calls'])]

    def whole(self):
        message = {'role': 'assistant', 'content': self.got['text'] or None}
        if self.got['calls']:
            message['tool_calls'] = self.calls()
        return {'id': 'chatcmpl-1', 'object': 'chat.completion', 'created': 1, 'model': self.model,
                'choices': [{'index': 0, 'message': message, 'finish_reason': self.reason()}], **self.usage()}

    def stream(self):
        head = {'id': 'chatcmpl-1', 'object': 'chat.completion.chunk', 'created': 1, 'model': self.model}
        deltas = [{'role': 'assistant', 'content': ''}] + [{'content': p} for p in self.pieces()]
        deltas += [{'tool_calls': [call]} for call in self.calls()]
        chunks = [{**head, 'choices': [{'index': 0, 'delta': d, 'finish_reason': None}]} for d in deltas]
        chunks.append({**head, 'choices': [{'index': 0, 'delta': {}, 'finish_reason': self.reason()}]})
        chunks.append({**head, 'choices': [], **self.usage()})
        return [f'data: {json.dumps(c)}\n\n'.encode() for c in chunks] + [b'data: [DONE]\n\n']


def chat_as_messages(body):
    """What the two formats say differently, as Messages says it."""
    body = dict(body)
    messages = body['messages']
    if messages and messages[0]['role'] in ('system', 'developer'):
        body['system'], messages = messages[0]['content'], messages[1:]
    body['messages'] = [m if m['role'] != 'tool' else {'role': 'user', 'content': m['content']} for m in messages]
    body['max_tokens'] = body.get('max_tokens') or body.get('max_completion_tokens') or 100
    body['stop_sequences'] = [body['stop']] if isinstance(body.get('stop'), str) else body.get('stop')
    return body


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def give(self, status, body, kind='application/json', **headers):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {'Content-Type': kind, 'Content-Length': str(len(data)), **headers}.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.wfile.write(data)

    def give_stream(self, chunks):
        self.close_connection = True
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.send_header('Connection', 'close')
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(chunk)

    def do_POST(self):  # the name that http.server asks for
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        backend = self.server.backend
        backend.seen.append((self.path, dict(self.headers.items()), body))
        try:
            if backend.first:
                raise backend.first.pop(0)
            self.answer(backend, body)
        except Refusal as r:
            error = {'message': r.message, 'type': r.kind}
            self.give(r.status, {'type': 'error', 'error': error} if 'messages' in self.path else {'error': error}, **r.headers)
        except ConnectionError:
            pass  # the other side has enough

    def answer(self, backend, body):
        faults = backend.faults
        if self.path.endswith('/count_tokens'):
            if 'no_count' in faults:
                raise Refusal(404, 'no such path', 'not_found_error')
            self.give(200, {'input_tokens': len(json.dumps(body)) // 4})
            return
        chat = self.path.endswith('/chat/completions')
        seen = chat_as_messages(body) if chat else body
        writer = (Chat if chat else Messages)(backend, seen, answer_to(seen, faults))
        if not body.get('stream'):
            self.give(200, writer.whole())
            return
        if 'no_stream' in faults:
            raise Refusal(400, 'stream is not supported')
        chunks = writer.stream()
        if 'cuts' in faults:
            chunks = chunks[:max(1, len(chunks) // 2)]
        if backend.hold.is_set():
            backend.held.set()
            backend.go.wait(30)
        self.give_stream(chunks)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class Backend:
    """Listens on a free port of 127.0.0.1.  first: refusals for the first requests."""

    def __init__(self, *faults, first=()):
        self.faults, self.first, self.seen, self.prompts = set(faults), list(first), [], set()
        self.hold, self.held, self.go = threading.Event(), threading.Event(), threading.Event()
        self.server = Server(('127.0.0.1', 0), Handler)
        self.server.backend = self
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.go.set()
        self.server.shutdown()
        self.server.server_close()
