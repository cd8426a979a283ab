"""The history is lost under a conversation that goes on: what it has afterwards is whole."""
import json
import os
import subprocess
import sys

import harness
from harness import BIN, Provider, Router, post, request_body, same, scene, until

PAGE = 4096


def talk(n):
    """What the client sends when so much was said; the marker stands on the last message."""
    messages = [{'role': 'assistant' if i % 2 else 'user', 'content': [{'type': 'text', 'text': f'said {i}'}]} for i in range(n)]
    messages[-1]['content'][0]['cache_control'] = {'type': 'ephemeral'}
    return request_body(messages=messages)


def said(home):
    """The texts of the session as it is exported, in order, and how many turns it has."""
    out = subprocess.run([BIN, 'sessions', 'export', 's-1', '--home', home], capture_output=True, check=False).stdout.decode()
    lines = [json.loads(line) for line in out.splitlines()]
    texts = [b['text'] for line in lines if line['type'] == 'message' for b in line['content']]
    return texts, sum(line['type'] == 'turn' for line in lines)


def spoil(home):
    """All pages but the two that say where the others are, as a failing disk may leave them."""
    path = os.path.join(home, 'history', 'data.mdb')
    with open(path, 'r+b') as f:
        size = os.fstat(f.fileno()).st_size
        f.seek(2 * PAGE)
        f.write(bytes(size - 2 * PAGE))


@scene
def s0111_damage_under_a_conversation(home):
    """The turn that meets the damage is kept whole in the new history, and so is the next."""
    p = Provider(home, a='always ok')
    r = Router(home, p.ports)
    t = r.token()

    def turn(n):
        a = post(r.port, t, talk(n), headers={'x-claude-code-session-id': 's-1'})
        same(a.status, 200, 'the turn')
        a.checked()

    for n in (1, 3, 5):
        turn(n)
    until('three turns in the history', lambda: said(home)[1] == 3)
    spoil(home)
    turn(7)
    until('a history with the turn that met the damage', lambda: said(home)[1] == 1)
    assert 'moved aside' in r.text()
    texts, _ = said(home)
    same(texts[:7], [f'said {i}' for i in range(7)], 'what it has of the conversation')
    same(len(texts), 8, 'messages with the answer')
    turn(9)
    until('the next turn', lambda: said(home)[1] == 2)
    texts, _ = said(home)
    same([x for x in texts if x.startswith('said ')], [f'said {i}' for i in range(9)], 'the conversation after it')
    r.stop()
    p.stop()


sys.exit(harness.main())
