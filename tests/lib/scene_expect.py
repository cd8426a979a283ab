"""What a scene expects, of answers and of the world: scene.py.
"""
import fnmatch
import json
import os
import re

from scene_client import Broken
from scene_text import SceneError
from scene_world import until


def same(what, got, want):
    if got != want:
        raise SceneError(f'{what}: got {got!r}, want {want!r}')


def within(what, got, span):
    low, _, high = span.partition('..')
    if got is None or not float(low) <= float(got) <= float(high or low):
        raise SceneError(f'{what}: got {got!r}, want {span}')


def holds(what, text, part, no=False):
    if (part in text) == no:
        shown = text if len(text) < 3000 else text[:1500] + ' … ' + text[-1500:]
        raise SceneError(f'{what} {"holds" if no else "does not hold"} {part!r}: {shown!r}')


# How many words follow each; one too many would be an expectation that nobody looks at.
ONE = ('status_is', 'used', 'retry_after', 'cut', 'text', 'text_size', 'stop', 'calls', 'comment', 'reported', 'turns', 'log',
       'nowhere', 'exit', 'body', 'output')
COUNTS = {**{name: (1, 1) for name in ONE}, 'statuses': (1, 99), 'attempts': (1, 99), 'header': (1, 2), 'trailer': (2, 2),
          'error': (1, 9), 'blocks': (0, 99), 'states': (1, 99), 'counter': (2, 2), 'status': (2, 2), 'cooldown': (2, 3),
          'seen': (2, 2), 'body_of': (2, 2), 'head_of': (2, 2), 'field_of': (3, 3), 'trace': (1, 2),
          'no cooldown': (0, 1), 'no header': (1, 1), 'no field_of': (2, 2)}


def check_count(name, no, words):
    low, high = COUNTS.get(('no ' if no else '') + name) or COUNTS.get(name, (0, 0))
    if not low <= len(words) <= high:
        raise SceneError(f'{name} takes {low} to {high} words, not {words}; is a ";" missing?')


class Expectations:
    def __init__(self, world, verbs):
        self.world, self.verbs = world, verbs

    def run(self, words):
        last, words = words[0] == 'last', words[words[0] == 'last':]
        no, words = words[0] == 'no', words[words[0] == 'no':]
        if words[0].isdigit():
            words = ['status_is'] + words
        name = words[0].replace('-', '_')
        of_answer, of_world = getattr(self, 'answer_' + name, None), getattr(self, 'world_' + name, None)
        handler = of_answer or of_world
        if not handler:
            raise SceneError(f'no such expectation: {words[0]}')
        check_count(name, no, words[1:])
        if not of_answer:
            handler(words[1:], *([no] if no else []))
            return
        answers = [a for a in self.verbs.answers if a]
        if not answers:
            raise SceneError('there is no answer to look at')
        for a in answers[-1:] if last else answers:
            handler(a, words[1:], *([no] if no else []))

    # ---- answers ----

    def answer_status_is(self, a, words):
        same('status', a.status, int(words[0]))

    def world_statuses(self, words):
        want = []
        for word in words:
            status, _, times = word.partition('*')
            want += [int(status)] * int(times or 1)
        same('the statuses', sorted(a.status for a in self.verbs.answers), sorted(want))

    def answer_used(self, a, words):
        same('x-model-used', a.header('x-model-used'), words[0])

    def answer_attempts(self, a, words):
        same('x-continuo-attempts', a.header('x-continuo-attempts'), ' '.join(words))

    def answer_header(self, a, words, no=False):
        value = a.header(words[0].lower())
        if no or len(words) == 1:
            same(f'whether there is a {words[0]}', value is not None, not no)
        else:
            same(words[0], value, words[1])

    def answer_trailer(self, a, words):
        same('the trailers', a.trailers, [(words[0], words[1])])

    def answer_retry_after(self, a, words):
        within('retry-after', a.header('retry-after'), words[0])

    def answer_body(self, a, words, no=False):
        holds('the body', a.body.decode(errors='backslashreplace'), words[0], no)

    def answer_error(self, a, words):
        body = a.json() or {}
        same('the error type', body.get('error', {}).get('type'), words[0])
        for text in words[1:]:
            holds('the message', body['error']['message'], text)
        if 'request_id' in body and not body['request_id'].startswith('req_demo'):
            same('request_id', body['request_id'], a.header('request-id'))

    def whole(self, a):
        r = a.reading
        if r is None:
            raise SceneError(f'no message to look at: status {a.status}')
        same('what is wrong with the answer', r.wrong, None)
        same('how far it came', r.at, 'over')
        same('how the connection went', a.why or 'whole', 'whole')
        return r

    def answer_stream(self, a, words):
        self.whole(a)
        same('whether it is a stream', a.is_stream, True)

    def answer_message(self, a, words):
        self.whole(a)
        same('whether it is a stream', a.is_stream, False)

    def answer_cut(self, a, words):
        """After the head: every block closed, an error event, a proper end of the body."""
        r = a.reading
        same('what is wrong with the answer', r.wrong, None)
        same('how far it came', r.at, 'error')
        same('the error type', r.error['type'], words[0])
        same('how the connection went', a.why or 'whole', 'whole')

    def answer_text(self, a, words):
        same('the text', a.reading.text, words[0])

    def answer_text_size(self, a, words):
        same('the bytes of text', len(a.reading.text), int(words[0]))

    def answer_stop(self, a, words):
        same('stop_reason', self.whole(a).stop, words[0])

    def answer_calls(self, a, words):
        same('the calls', len(a.reading.tools), int(words[0]))

    def answer_blocks(self, a, words):
        same('the blocks', [b['type'] for b in a.reading.blocks], words)

    def answer_pings(self, a, words, no=False):
        same('whether there are pings', a.reading.pings > 0, not no)

    def answer_comment(self, a, words):
        same('the comments', a.reading.comments, [words[0]])

    def answer_reported(self, a, words):
        same('the model in the message', a.reading.model, words[0])

    def answer_broken(self, a, words):
        same('whether the answer broke off', bool(a.why), True)

    def world_closed(self, words):
        """The raw connection is over after its answer."""
        for client in self.verbs.clients.values():
            if client.connection:
                same('whether the router closed', client.connection.is_closed(), True)

    def world_turns(self, words):
        same('the turns of the conversation', len(self.verbs.answers), int(words[0]))

    # ---- the world ----

    def settles(self, what, get, want):
        """Waits for get() to be want; says both when it never is."""
        last = [None]

        def right():
            last[0] = get()
            return last[0] == want
        try:
            until(what, right)
        except SceneError:
            same(what, last[0], want)

    def world_states(self, words):
        def states():
            of = [t for t in self.world.trace() if t['event'] == 'turn_state']
            last = max((t['a'] for t in of), default=0)
            return [t['text'] for t in of if t['a'] == last]
        self.settles('the states', states, words)

    def world_counter(self, words):
        self.settles('counter ' + words[0], lambda: self.world.status()['counters'][words[0]], int(words[1]))

    def world_status(self, words):
        self.settles('status ' + words[0], lambda: json.dumps(self.world.status()[words[0]]), json.dumps(json.loads(words[1])))

    def world_cooldown(self, words, no=False):
        def put():
            """As it was put, not what is left of it: a slow machine changes nothing."""
            records = [t for t in self.world.trace()[self.verbs.cooled_from:] if t['event'] == 'cooldown']
            found = [t['text'].rsplit(' ', 1) + [t['b'] / 1000] for t in records]
            return [c for c in found if not words or fnmatch.fnmatchcase(c[0], words[0])]
        if no:
            same('the cooldowns', put(), [])
            return
        _, because, seconds = until(f'a cooldown of {words[0]}', put)[-1]
        same(f'why {words[0]} cools down', because, words[1])
        if len(words) > 2:
            within(f'for how long {words[0]} cools down', seconds, words[2])

    def world_seen(self, words):
        self.settles(f'requests that {words[0]} got', lambda: len(self.verbs.seen(words[0])), int(words[1]))

    def request_to(self, word):
        name, _, number = word.partition('#')
        at = int(number or 0)
        return until(f'request {number or "1"} to {name}', lambda: self.verbs.seen(name)[max(at - 1, 0):])[0 if at else -1]

    def world_body_of(self, words, no=False):
        body = self.request_to(words[0])['body']
        if words[1:] == ['same']:
            model = json.dumps(json.loads(self.verbs.sent)['model'])
            want = self.verbs.sent.decode().replace(model, json.dumps('id-' + words[0].partition('#')[0]), 1)
            same('the body that the upstream got', body, want)
        else:
            holds('the body', body, words[1], no)

    def world_field_of(self, words, no=False):
        value = json.loads(self.request_to(words[0])['body'])
        try:
            for part in words[1].split('.'):
                value = value[int(part) if re.fullmatch(r'-?\d+', part) else part]
        except (KeyError, IndexError, TypeError):
            same(f'whether there is {words[1]}', False, not no)
            return
        same(f'whether there is {words[1]}', True, not no)
        try:
            want = json.loads(words[2])
        except ValueError:
            want = words[2]
        same(words[1], value, want)

    def world_head_of(self, words, no=False):
        holds('the head', self.request_to(words[0])['head'].lower(), self.world.fill(words[1]).lower(), no)

    def world_log(self, words, no=False):
        text = self.world.fill(words[0])
        if no:
            holds('the log', self.world.router_log(), text, True)
        else:
            until(f'{text!r} in the log', lambda: text in self.world.router_log())

    def world_trace(self, words):
        def found():
            return [t for t in self.world.trace() if t['event'] == words[0] and t['text'] in (words[1:] or [t['text']])]
        until(f'{" ".join(words)} in the trace', found)

    def world_nowhere(self, words):
        """In no file of the home, but for what the provider noted of its requests."""
        needle = self.world.fill(words[0]).encode()
        for directory, _, names in os.walk(self.world.home):
            for name in names:
                path = os.path.join(directory, name)
                if name == 'seen.jsonl' or not os.path.isfile(path):
                    continue
                with open(path, 'rb') as f:
                    if needle in f.read():
                        raise SceneError(f'{words[0]!r} stands in {path}')

    def world_exit(self, words):
        code = self.verbs.ran.returncode if self.verbs.ran else self.world.exit
        if code != int(words[0]):
            said = self.verbs.ran.stdout + self.verbs.ran.stderr if self.verbs.ran else self.world.router_log()
            raise SceneError(f'exit status: got {code}, want {words[0]}: {said[-2000:]}')

    def world_output(self, words, no=False):
        ran = self.verbs.ran
        holds('the output', ran.stdout + ran.stderr if ran else self.world.router_log(), self.world.fill(words[0]), no)


__all__ = ['Expectations', 'Broken']
