"""What a request becomes on its way to a backend of its own format: prompts of the policy, and what backends do not know."""
import json
import os
import subprocess
import sys

import harness
from harness import Edited, Provider, post, request_body, same, scene, until

BILLING = {'type': 'text', 'text': 'x-anthropic-billing-header: cc_version=2.1.9.a3f;'}
IDENTITY = {'type': 'text', 'text': 'You are X.', 'cache_control': {'type': 'ephemeral'}}
CALL = {'type': 'tool_use', 'id': 't1', 'name': 'ToolSearch', 'input': {}}
FOUND = {'type': 'tool_result', 'tool_use_id': 't1', 'content': [{'type': 'tool_reference', 'tool_name': 'Deep'}]}
TOOLS = [harness.TOOL, {'name': 'Deep', 'defer_loading': True, 'input_schema': {}}, {'name': 'Later', 'defer_loading': True}]
TURNS = [
    {'role': 'user', 'content': 'task'},
    {'role': 'system', 'content': 'here', 'output_config': {'effort': 'low'}},
    {'role': 'assistant', 'content': [CALL]},
    {'role': 'user', 'content': [FOUND]},
]


def write(home, name, text):
    path = os.path.join(home, name)
    with open(path + '.new', 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(path + '.new', 0o600)
    os.rename(path + '.new', path)


def serve(home, words):
    p = Provider(home, a='ok', b='ok')
    r = Edited(home, p.ports, words)
    return p, r, r.token(name='t')


def close(p, r):
    r.stop()
    p.stop()


def body_of(seen):
    return json.loads(seen['body'])


def text(t):
    return {'type': 'text', 'text': t}


@scene
def b0201_a_prompt_of_a_model_and_of_a_route(home):
    """It goes with the client's own, the same on each turn, and the record names it."""
    write(home, 'brief.md', 'be "brief"\n')
    write(home, 'other.md', 'be other')
    p, r, t = serve(home, {'id: id-a': 'id: id-a, prompt: {prepend: brief.md}',
                           'routes:': 'routes:\n  - {when: {model: "other*"}, use: [m-a], prompt: {replace: other.md}}'})
    for _ in range(2):
        same(post(r.port, t, request_body(system=[BILLING, IDENTITY])).status, 200, 'status')
    same(post(r.port, t, request_body(model='other-1', system='mine')).status, 200, 'status')
    same(post(r.port, t, request_body()).status, 200, 'status')
    same(post(r.port, t, request_body(stream=None, max_tokens=None), path='/v1/messages/count_tokens').status, 200, 'a count')
    seen = p.seen('a')
    same([body_of(s).get('system') for s in seen],
         [[BILLING, text('be "brief"\n'), IDENTITY]] * 2 + [[text('be other')], [text('be "brief"\n')]], 'the systems')
    same(seen[0]['body'], seen[1]['body'], 'the second turn')
    r.stop()
    said = json.loads(subprocess.run([harness.BIN, 'sessions', 'list', '--home', home, '--json'], capture_output=True, check=True).stdout)
    said = said if isinstance(said, list) else said['sessions']
    shown = subprocess.run([harness.BIN, 'sessions', 'export', said[0]['session'], '--home', home], capture_output=True, check=True).stdout
    same([w in shown.decode() for w in ('prepend brief.md', 'replace other.md')], [True, True], f'the prompts in {shown.decode()[:3000]}')
    p.stop()


@scene
def b0202_a_prompt_file_is_read_again(home):
    """When it changes; one that cannot be sent leaves the old policy in force."""
    write(home, 'brief.md', 'one')
    p, r, t = serve(home, {'id: id-a': 'id: id-a, prompt: {append: brief.md}'})

    def sent():
        same(post(r.port, t, request_body(system='s')).status, 200, 'status')
        return body_of(p.seen('a')[-1])['system']

    same(sent(), [text('s'), text('one')], 'the system')
    for words in ('two', 'three'):
        write(home, 'brief.md', words)
        until(f'the prompt {words}', lambda: sent() == [text('s'), text(words)])
    write(home, 'brief.md', ' \n')
    until('the refusal', lambda: r.status()['counters']['reloads_failed'] >= 1)
    same(sent(), [text('s'), text('three')], 'the system')
    assert "'brief.md' is empty" in r.text()
    close(p, r)


@scene
def b0203_what_a_backend_does_not_know(home):
    """It is not sent; the rest is as it came, the next turn begins with the same bytes, and a count is of the same."""
    p, r, t = serve(home, {'id: id-a': 'id: id-a, thinking: false', 'wire: anthropic': 'preset: anthropic, quirks: [no_system_messages, no_deferred_tools, auto_tool_choice, '
                           'no_attribution, no_cache_control]'})
    more = {'system': [BILLING, IDENTITY], 'tools': TOOLS, 'tool_choice': {'type': 'any'}, 'thinking': {'type': 'adaptive'},
            'context_management': {'edits': []}}
    for n in (2, 4):
        same(post(r.port, t, request_body(messages=TURNS[:n], **more)).status, 200, 'status')
    first, second = (body_of(s) for s in p.seen('a'))
    reminded = {'role': 'user', 'content': [text('task'), text('<system-reminder>\nhere\n</system-reminder>')]}
    same(first['messages'], [reminded], 'the first turn')
    same(second['messages'], [reminded, TURNS[2], {'role': 'user', 'content': [
        FOUND | {'content': [text('The tool Deep can be called now.')]}]}], 'the second')
    same([[x['name'] for x in b['tools']] for b in (first, second)], [['Write'], ['Write', 'Deep']], 'the tools')
    same((second['tools'][1], second['tool_choice'], second['system']),
         ({'name': 'Deep', 'input_schema': {}}, {'type': 'auto'}, [text('You are X.')]), 'the rest')
    same([k for k in ('thinking', 'context_management') if k in second], [], 'what a model is told that cannot think')
    counted = post(r.port, t, request_body(messages=TURNS, stream=None, max_tokens=None, **more), path='/v1/messages/count_tokens')
    same((counted.status, counted.headers['x-model-used']), (200, 'a/m-a'), 'who counts')
    asked = body_of(p.seen('a')[-1])
    same({k: asked[k] for k in asked if k != 'model'}, {k: second[k] for k in asked if k != 'model'}, 'what is counted')
    close(p, r)


@scene
def b0204_the_next_model_has_its_own_ways(home):
    """Of one request each model of the chain gets its own form."""
    write(home, 'a.md', 'for a')
    p = Provider(home, a='always status 529', b='ok')
    r = Edited(home, p.ports, {'id: id-a': 'id: id-a, prompt: {append: a.md}', 'id: id-b': 'id: id-b, images: false', f'"http://127.0.0.1:{p.ports["b"]}"':
                               f'"http://127.0.0.1:{p.ports["b"]}", quirks: [fold_system, plain_blocks, no_adaptive_thinking]'})
    t = r.token(name='t')
    server = {'type': 'server_tool_use', 'id': 'srvtoolu_1', 'name': 'web_search', 'input': {'query': 'q'}}
    image = {'type': 'image', 'source': {'type': 'url', 'url': 'https://x.example/y.png'}}
    messages = [{'role': 'user', 'content': [text('task'), image]}, {'role': 'assistant', 'content': [server, text('a')]}, {'role': 'user', 'content': 'b'}]
    a = post(r.port, t, request_body(messages=messages, system='s', max_tokens=9000, thinking={'type': 'adaptive'}))
    same((a.status, a.headers['x-model-used']), (200, 'b/m-b'), 'who answers')
    for_a, for_b = body_of(p.seen('a')[0]), body_of(p.seen('b')[0])
    same((for_a['system'], for_a['messages'], for_a['thinking']), ([text('s'), text('for a')], messages, {'type': 'adaptive'}), 'for a')
    same('system' in for_b, False, 'a system prompt for b')
    same(for_b['messages'][0]['content'], [text('s'), text('task'), text('(an image was left out: this model cannot see images)')],
         'the first message for b')
    same(for_b['messages'][1]['content'], [text('[server_tool_use]\nweb_search\nq'), text('a')], 'the answer for b')
    same(for_b['thinking'], {'type': 'enabled', 'budget_tokens': 4500}, 'thinking for b')
    close(p, r)


@scene
def b0205_what_a_backend_says_it_does_not_know(home):
    """Once it has refused a newer part of the format it is asked again without, and from then on at once."""
    p = Provider(home, a='always status 529', b='status 400 message=messages.1.role: Input should be \'user\' or \'assistant\'; always ok')
    r = Edited(home, p.ports, {})
    t = r.token(name='t')
    for _ in range(2):
        a = post(r.port, t, request_body(messages=TURNS, tools=TOOLS))
        same((a.status, a.headers['x-model-used']), (200, 'b/m-b'), 'who answers')
    bodies = [s['body'] for s in p.seen('b')]
    same([('"system"' in b, 'defer_loading' in b) for b in bodies], [(True, True), (False, False), (False, False)], 'what b got')
    same(bodies[1], bodies[2], 'the second turn')
    close(p, r)


@scene
def b0206_the_clients_own_request_stays_its_own(home):
    """Refused by the backend that the client means, it is not asked again in other words."""
    p = Provider(home, a='always status 400 message=messages.1.role: Input should be \'user\' or \'assistant\'', b='ok')
    r = Edited(home, p.ports, {})
    a = post(r.port, r.token(name='t'), request_body(messages=TURNS, tools=TOOLS))
    same((a.status, len(p.seen('a')), len(p.seen('b'))), (400, 1, 0), 'the answer')
    assert 'messages.1.role' in a.json()['error']['message'], a.body
    close(p, r)


sys.exit(harness.main())
