#!/usr/bin/env python3
"""If this fails, the scene files may pass whatever the router does."""
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib')
sys.path.insert(0, LIB)

import scene  # noqa: E402
import scene_text  # noqa: E402
from scene_client import Ids, read_message, read_stream  # noqa: E402
from scene_expect import Expectations  # noqa: E402
from scene_stream import make  # noqa: E402
from scene_verbs import Verbs  # noqa: E402

GOOD = 'start; open text; text hi; close; open tool_use t1; json "{}"; close; end tool_use'

# Streams that no client may be given, and a word of what must be found wrong.
BROKEN = [
    ('start; start', 'second message_start'),
    ('open text', 'begins start'),
    ('start; open text; open text', 'begins block'),
    ('start; text hi', 'a delta outside'),
    ('start; open text; text hi; close; close', 'not open'),
    ('start; open text; text hi; end end_turn', 'message_delta out of place'),
    ('start; end end_turn', 'a normal end of nothing'),
    ('start; open text; text hi; close; end tool_use', 'contradicts'),
    ('start; open tool_use t1; json "{}"; close; end end_turn', 'contradicts'),
    ('start; open tool_use t1; json "{"; close', 'no JSON'),
    ('start; open tool_use t1; json "{}"; close; open tool_use t1', 'given before'),
    ('start; open text; text hi; close; end bad_reason', 'the stop_reason'),
    ('start; open text; text hi; error overloaded_error', 'inside of a text block'),
    ('start; open text; text hi; close; end end_turn; error overloaded_error', 'after the end'),
    ('start; error overloaded_error; open text', 'after the end'),
    ('start; raw "event: ping\\ndata: {}"', 'inside of an event'),
    ('start; raw "data: {}\\n\\n"', 'no event of ours'),
    ('start; raw "event: ping\\ndata: {\\"type\\":\\"pong\\"}\\n\\n"', 'holds type'),
    ('start; raw "event: news\\ndata: {\\"type\\":\\"news\\"}\\n\\n"', 'unknown name'),
    ('start; raw "event: ping\\r\\ndata: {}\\r\\n\\r\\n"', 'carriage return'),
]

# Scenes that must fail, and a word of the reason.
FAILING = [
    ('upstream a: ok\nclient: post; expect 500', 'status: got 200, want 500'),
    ('upstream a: ok\nclient: post; expect stop end_turn', "got 'tool_use'"),
    ('upstream a: ok\nclient: post; expect no body message_stop', 'the body holds'),
    ('upstream a: ok\nclient: post; expect attempts a/a:529', "got 'a/a:ok'"),
    ('upstream a: status 529\nclient: post; expect no cooldown', "'a/a', 'overloaded'"),
    ('upstream a: ok\nclient: post\nexpect field-of a messages.-1.role assistant', "got 'user'"),
    ('upstream a: ok\nmodel a: {max_output: 500}\nclient: post\nexpect body-of a same', 'the body that the upstream got'),
    ('upstream a: ok\nclient: post sometimes', 'no such option'),
    ('upstream a: ok\nexpect nothing', 'no such expectation'),
    ('upstream a: ok\nclient: shout', 'no such verb'),
    ('upstream a: maybe\nclient: post', 'not a step'),
    ('upstream a: cut-fin events=5\npolicy fallback: {continuation: off}\nclient: post; expect stream', "got 'error', want 'over'"),
    ('upstream a: ok\nbackend a: {wire: openai-chat}\nmodel a: {add_fields: {container: x}}\nclient: post', 'breaks a rule of its format'),
    ('upstream a: hold status 529\nclient: post background\ngo a\nclient: reads Step', 'is over and does not hold'),
]


def reader_finds():
    """(passed, failed)"""
    failed = 0
    for text, word in [(GOOD, None)] + BROKEN:
        wrong = read_stream(make(text).encode(), Ids()).wrong
        if (word is None and wrong) or (word and word not in (wrong or '')):
            print(f'FAIL the reader of "{text}": got {wrong!r}, want {word!r}')
            failed += 1
    whole = b'{"type":"message","role":"assistant","id":"m","model":"x","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'
    if read_message(whole, Ids()).wrong != 'a normal end of nothing':
        print('FAIL the reader of a message without content')
        failed += 1
    return len(BROKEN) + 2 - failed, failed


def runner_finds():
    """(passed, failed)"""
    with tempfile.NamedTemporaryFile('w', suffix='.scene', encoding='utf-8') as f:
        for i, (text, _) in enumerate(FAILING):
            end = '\nclient: drop' if 'background' in text else ''
            f.write(f'# x{i:04}: fails\n{text}{end}\n')
        f.flush()
        got = subprocess.run([sys.executable, os.path.join(LIB, 'scene.py'), '--bin', os.environ['CONTINUO_BIN'],
                              '--provider', os.environ['CONTINUO_PROVIDER'], f.name],
                             capture_output=True, text=True, timeout=300, check=False)
    failed = 0
    reports = re.split(r'^(?=FAIL |ok   )', got.stdout, flags=re.M)
    for i, (text, word) in enumerate(FAILING):
        mine = [r for r in reports if r.startswith(f'FAIL x{i:04} ')]
        if not mine or word not in mine[0].split('----')[0]:
            print(f'FAIL the runner of\n{text}\nsays\n{mine or got.stdout[-2000:]}, want {word!r}')
            failed += 1
    if got.returncode != 1 or not got.stdout.endswith(f'0 passed, {len(FAILING)} failed\n'):
        print(f'FAIL the runner ended with {got.returncode}: {got.stdout[-500:]}{got.stderr[-500:]}')
        failed += 1
    return len(FAILING) + 1 - failed, failed


def words_are_described():
    """(passed, failed): every word of the language stands in the opening comment of scene.py."""
    failed, names = 0, [n.partition('_') for c in (Verbs, Expectations) for n in vars(c)]
    words = {rest.replace('_', '-') for kind, _, rest in names if kind in ('do', 'client', 'answer', 'world')}
    for word in sorted(words - {'status-is', 'client'} | set(scene_text.WHOLE)):
        if not re.search(rf'(?<![\w-]){word}(?![\w-])', scene.__doc__):
            print(f'FAIL "{word}" is not described at the top of scene.py')
            failed += 1
    return len(words) - failed, failed


def main():
    totals = [reader_finds(), words_are_described(), runner_finds()]
    passed, failed = (sum(t) for t in zip(*totals))
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
