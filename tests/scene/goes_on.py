"""An answer cut anywhere, in every way, goes on in every way that models do: nothing is lost or said twice."""
import json
import sys

import harness
from harness import Provider, Router, TOOL, post, request_body, same, scene

TASK = 'CONTINUO-TASK steps=3 dir=/tmp/x words=110 calls=2'
FAULTS = ('cut-fin', 'cut-rst', 'cut-clean', 'cut-error')


def begin(home, more='', **scripts):
    p = Provider(home, **scripts)
    r = Router(home, p.ports, harness.SHORT + more)
    return p, r, r.token(name='t')


def body(**more):
    return request_body(messages=[{'role': 'user', 'content': TASK}], tools=[TOOL], max_tokens=4000, **more)


def end(p, r):
    r.stop()
    p.stop()


def whole_stream(p, r, t):
    """The answer as it is without a failure, and its size on the backend's side."""
    p.script('a', 'always ok')
    answer = post(r.port, t, body())
    return answer.checked(), len(answer.body)


def ids_are_new(calls, known):
    for call in calls:
        assert call[0] not in known, f'the id {call[0]} came twice'
        known.add(call[0])


@scene
def m0501_every_place_and_fault_and_way(home):
    """The text is whole, a call is given at most once, whatever breaks off where."""
    p, r, t = begin(home, a='ok', b='ok')
    (text, calls, stop), size = whole_stream(p, r, t)
    same((len(calls), stop), (2, 'tool_use'), 'the answer without a failure')
    known, n = set(), 0
    for way in ('exact', 'quotes', 'longer', 'restart', 'intro'):
        p.script('b', f'always ok way={way}')
        for at in range(130, size, 61):
            fault = FAULTS[n % len(FAULTS)]
            n += 1
            r.admin('POST', '/api/reset')
            p.script('a', f'always {fault} {at}')
            answer = post(r.port, t, body())
            what = f'{fault} after {at} bytes, then {way}'
            same(answer.status, 200, what)
            got, called, why = answer.checked()
            same(got, text, f'the text of {what}')
            same(why, 'tool_use', f'the end of {what}')
            assert 1 <= len(called) <= 2, f'{what}: {called}'
            same(called[0][2], calls[0][2], f'the first call of {what}')
            ids_are_new(called, known)
    end(p, r)


@scene
def m0502_models_that_do_as_they_like(home):
    """What does not join is appended; what was given stays, and a call still comes."""
    p, r, t = begin(home, a='ok', b='ok')
    (text, calls, stop), size = whole_stream(p, r, t)
    for way, extra in (('ignores', '\n\nHere is something else.'), ('tool', '')):
        p.script('b', f'always ok way={way}')
        for at in range(700, 4000, 333):
            r.admin('POST', '/api/reset')
            p.script('a', f'always cut-fin {at}')
            got, called, why = post(r.port, t, body()).checked()
            assert got.endswith(extra) and text.startswith(got.removesuffix(extra).rstrip('\n')), (way, at, got)
            same((len(called), why), (2, 'tool_use'), f'the calls after {at} bytes, then {way}')
    p.script('a', 'always cut-fin 2000')
    p.script('b', 'always ok way=flood')
    r.admin('POST', '/api/reset')
    got, called, why = post(r.port, t, body()).checked()
    same((len(called), why), (2, 'tool_use'), 'the calls after a flood')
    end(p, r)


@scene
def m0503_one_failure_after_the_other(home):
    """Each model gets a little further; the last one ends it."""
    p, r, t = begin(home, a='ok', b='ok', c='ok', d='ok')
    (text, calls, stop), size = whole_stream(p, r, t)
    for at in range(800, 3600, 171):
        r.admin('POST', '/api/reset')
        p.script('a', f'always cut-fin {at}')
        p.script('b', f'always cut-rst {at + 90} way=longer')
        p.script('c', f'always cut-clean {at // 2 + 900} way=intro')
        got, called, why = post(r.port, t, body()).checked()
        same((got, len(called), why), (text, 2, 'tool_use'), f'cut at {at} and on')
    end(p, r)


@scene
def m0504_thinking_first(home):
    """Cut in thinking or after it: the thinking that was given stays, the answer is whole."""
    p, r, t = begin(home, ', hold_thinking: 0s', a='ok', b='ok')
    messages = [{'role': 'user', 'content': TASK + ' think=1'}]
    p.script('a', 'always ok')
    answer = post(r.port, t, request_body(messages=messages, max_tokens=4000))
    text, size = answer.checked()[0], len(answer.body)
    for way in ('exact', 'restart'):
        p.script('b', f'always ok way={way}')
        for at in range(500, size, 89):
            r.admin('POST', '/api/reset')
            p.script('a', f'always cut-fin {at}')
            got, called, why = post(r.port, t, request_body(messages=messages, max_tokens=4000)).checked()
            same((got, why), (text, 'tool_use'), f'cut at {at}, then {way}')
    end(p, r)


@scene
def m0505_usage_and_limits(home):
    """Output adds up, input does not; what is left of max_tokens is asked for."""
    p, r, t = begin(home, a='cut-fin 2000', b='ok')
    answer = post(r.port, t, body())
    answer.checked()
    usage = [data['usage'] for name, data in answer.events() if name == 'message_delta'][0]
    same(usage['input_tokens'], 120, 'the input of the turn')
    assert 42 < usage['output_tokens'] < 42 + 60, usage
    asked = json.loads(p.seen('b')[0]['body'])
    assert 3940 <= asked['max_tokens'] < 4000, asked['max_tokens']
    same([m['role'] for m in asked['messages']], ['user', 'assistant', 'user'], 'the messages')
    end(p, r)


@scene
def m0506_ids_of_the_backend_go_back_to_it(home):
    """A backend that counts its calls gets its own ids again, also after a restart; no other does."""
    def event(name, **data):
        return f'event: {name}\ndata: {json.dumps({"type": name, **data})}\n\n'
    path = f'{home}/call.sse'
    with open(path, 'w', encoding='utf-8') as f:
        f.write(event('message_start', message={'id': 'm', 'type': 'message', 'role': 'assistant', 'model': 'm', 'content': [], 'stop_reason': None,
                                                'stop_sequence': None, 'usage': {'input_tokens': 1, 'output_tokens': 1}})
                + event('content_block_start', index=0, content_block={'type': 'tool_use', 'id': 'functions.Write:0', 'name': 'Write', 'input': {}})
                + event('content_block_delta', index=0, delta={'type': 'input_json_delta', 'partial_json': '{"file_path": "/tmp/x"}'})
                + event('content_block_stop', index=0)
                + event('message_delta', delta={'stop_reason': 'tool_use', 'stop_sequence': None}, usage={'output_tokens': 3}) + event('message_stop'))
    p, r, t = begin(home, a=f'always file {path}', b='ok')
    messages, known = [{'role': 'user', 'content': 'go'}], set()
    for turn in range(3):
        _, calls, _ = post(r.port, t, request_body(messages=messages)).checked()
        ids_are_new(calls, known)
        assert calls[0][0].startswith('toolu_'), calls
        messages.append({'role': 'assistant', 'content': [{'type': 'tool_use', 'id': calls[0][0], 'name': 'Write', 'input': calls[0][2]}]})
        messages.append({'role': 'user', 'content': [{'type': 'tool_result', 'tool_use_id': calls[0][0], 'content': 'done'}]})
        if turn == 1:
            r.stop()
            r.start()
    seen = json.loads(p.seen('a')[-1]['body'])['messages']
    same([seen[1]['content'][0]['id'], seen[2]['content'][0]['tool_use_id'], seen[3]['content'][0]['id'], seen[4]['content'][0]['tool_use_id']],
         ['functions.Write:0'] * 4, 'the ids that the backend sees')
    p.script('a', 'always status 529')
    post(r.port, t, request_body(messages=messages)).checked()
    assert 'functions.Write' not in p.seen('b')[-1]['body'], p.seen('b')[-1]['body']
    end(p, r)


sys.exit(harness.main())
