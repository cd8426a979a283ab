"""Recorded answers as a scene writes them down: `stream NAME: ITEM; ITEM; …` makes a file of events.

  start [ID]               message_start
  open TYPE [ID NAME]      content_block_start; thinking, text, tool_use
  text|thinking|signature|json "…"   a delta; `text 6MiB` is that many bytes in deltas of 1 KiB
  close                    content_block_stop
  end REASON [TOKENS]      message_delta and message_stop
  error TYPE               an error event
  chunk {DELTA} [REASON]   of the Chat Completions format; say "…": one of text; usage IN OUT, done: its figures, its end
  raw "…"                  bytes as they are
"""
import json
import re

from scene_text import SceneError, split, words

DELTAS = {'text': ('text_delta', 'text'), 'thinking': ('thinking_delta', 'thinking'),
          'signature': ('signature_delta', 'signature'), 'json': ('input_json_delta', 'partial_json')}
SIZES = {'KiB': 1 << 10, 'MiB': 1 << 20}
PIECE = 'All work and no play makes a long answer. ' * 25


def size(text):
    """6MiB as a number; None when it is none."""
    match = re.fullmatch(r'(\d+)(KiB|MiB)?', text)
    return match and int(match[1]) * SIZES.get(match[2], 1)


def event(data):
    return f'event: {data["type"]}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n'


class Stream:
    def __init__(self):
        self.out, self.index = [], -1

    def add(self, kind, **more):
        self.out.append(event({'type': kind, **more}))

    def start(self, name='msg_recorded'):
        self.add('message_start', message={
            'id': name, 'type': 'message', 'role': 'assistant', 'model': 'recorded', 'content': [], 'stop_reason': None,
            'stop_sequence': None, 'usage': {'input_tokens': 10, 'output_tokens': 1}})

    def open(self, kind, name='toolu_recorded', tool='Write'):
        self.index += 1
        block = {'text': {'text': ''}, 'thinking': {'thinking': '', 'signature': ''},
                 'tool_use': {'id': name, 'name': tool, 'input': {}}}[kind]
        self.add('content_block_start', index=self.index, content_block={'type': kind, **block})

    def delta(self, kind, text):
        name, member = DELTAS[kind]
        n = size(text) if re.search('iB$', text) else None
        for at in range(0, n or 1, len(PIECE)):
            piece = PIECE[:n - at] if n else text
            self.add('content_block_delta', index=self.index, delta={'type': name, member: piece})

    def close(self):
        self.add('content_block_stop', index=self.index)

    def end(self, reason, tokens='9'):
        self.add('message_delta', delta={'stop_reason': reason, 'stop_sequence': None}, usage={'output_tokens': int(tokens)})
        self.add('message_stop')

    def error(self, kind):
        self.add('error', error={'type': kind, 'message': 'recorded'})

    def data(self, **more):
        self.out.append(f'data: {json.dumps({"id": "chatcmpl-recorded", "object": "chat.completion.chunk", "created": 1, "model": "recorded", **more})}\n\n')

    def chunk(self, delta, reason=None):
        self.data(choices=[{'index': 0, 'delta': json.loads(delta), 'finish_reason': reason}])

    def say(self, text):
        self.chunk(json.dumps({'content': text}))

    def usage(self, prompt, output):
        self.data(choices=[], usage={'prompt_tokens': int(prompt), 'completion_tokens': int(output), 'total_tokens': int(prompt) + int(output)})

    def done(self):
        self.out.append('data: [DONE]\n\n')

    def raw(self, text):
        self.out.append(text)


def make(text):
    s = Stream()
    for item in split(text, ';'):
        verb, *rest = words(item)
        if verb in DELTAS:
            s.delta(verb, *rest)
        elif verb in ('start', 'open', 'close', 'end', 'error', 'chunk', 'say', 'usage', 'done', 'raw'):
            getattr(s, verb)(*rest)
        else:
            raise SceneError(f'no such item of a stream: {verb}')
    return ''.join(s.out)
