"""What Chat Completions servers are sent keeps each one's rules: every quirk alone, and all that go together, with all that clients say."""
import json
import os
import re
import sys

import harness
from harness import Provider, Router, post, same, scene

PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
IMAGE = {'type': 'image', 'source': {'type': 'base64', 'media_type': 'image/png', 'data': PNG}}
MARK = {'cache_control': {'type': 'ephemeral'}}
LONG_NAME = 'mcp__a_server_with_a_long_name__and_a_tool_whose_name_is_longer_than_64'
SCHEMA = {'$schema': 'http://json-schema.org/draft-07/schema#', 'type': 'object', 'additionalProperties': False, 'required': ['file_path'],
          'properties': {'file_path': {'type': 'string', 'format': 'uri', 'pattern': '^/'}, 'content': {'type': ['string', 'null']},
                         'mode': {'anyOf': [{'type': 'string'}, {'type': 'integer', 'exclusiveMinimum': 0}], 'type': 'string'}}}
SWITCHES = ('effort', 'thinking_type', 'enable_thinking', 'reasoning_object', 'template_thinking')
FLAGS = ('prefix_flag', 'partial_flag', 'continue_flag')


def quirk_names():
    with open(os.path.join(os.environ['CONTINUO_SOURCE'], 'include/continuo/dialect.h'), encoding='utf-8') as f:
        return re.findall(r'X\([A-Z_0-9]+, "([a-z_0-9]+)"', f.read().split('enum cn_quirk')[0])


def use(name, ident, **given):
    return {'type': 'tool_use', 'id': ident, 'name': name, 'input': given}


def result(ident, content, **more):
    return {'type': 'tool_result', 'tool_use_id': ident, 'content': content, **more}


def talk():
    """Everything that stands in a client's messages, in an order that clients have."""
    return [
        {'role': 'user', 'content': [{'type': 'text', 'text': 'Please look.', **MARK}, IMAGE, {'type': 'document', 'title': 'Notes', 'source': {
            'type': 'text', 'media_type': 'text/plain', 'data': 'A note.'}}]},
        {'role': 'assistant', 'content': [{'type': 'thinking', 'thinking': 'Hm.', 'signature': 'c2ln'}, {'type': 'text', 'text': 'I look.'},
                                          use('Write', 'toolu_1', file_path='/tmp/a'), use(LONG_NAME, 'toolu_2')]},
        {'role': 'user', 'content': [result('toolu_2', [{'type': 'text', 'text': 'a picture'}, IMAGE]), result('toolu_1', 'no', is_error=True),
                                     {'type': 'text', 'text': '<system-reminder>Be brief.</system-reminder>'}]},
        {'role': 'system', 'content': 'The user went away.'},
        {'role': 'assistant', 'content': [use('ToolSearch', 'toolu_3', query='x')]},
        {'role': 'user', 'content': [result('toolu_3', [{'type': 'tool_reference', 'tool_name': 'Deferred'}])]},
        {'role': 'assistant', 'content': [{'type': 'redacted_thinking', 'data': 'eHg='}, use('Write', 'toolu_4')]},
        {'role': 'user', 'content': [result('toolu_4', [])]},
        {'role': 'assistant', 'content': 'It is empty.'},
        {'role': 'user', 'content': 'CONTINUO-TASK steps=9 dir=/tmp/x'},
    ]


def asked(model, **more):
    tools = [{'name': n, 'description': 'A tool.', 'input_schema': SCHEMA} for n in ('Write', 'ToolSearch', LONG_NAME)]
    tools += [{'name': 'Deferred', 'defer_loading': True, 'input_schema': {'type': 'object'}}, {**tools[0], 'name': 'Bare', 'input_schema': {}, **MARK}]
    system = [{'type': 'text', 'text': 'x-anthropic-billing-header: cc_version=2; cch=1;'}, {'type': 'text', 'text': 'You help.', **MARK}]
    return {'model': model, 'max_tokens': 4000, 'stream': True, 'system': system, 'messages': talk(), 'tools': tools, 'temperature': 0.5,
            'top_k': 3, 'stop_sequences': ['s1', 's2', 's3', 's4', 's5'], 'metadata': {'user_id': 'someone'}, **more}


REQUESTS = [
    {'thinking': {'type': 'enabled', 'budget_tokens': 2000}, 'tool_choice': {'type': 'auto', 'disable_parallel_tool_use': True}},
    {'thinking': {'type': 'adaptive'}, 'output_config': {'effort': 'max'}},
    {'tool_choice': {'type': 'tool', 'name': LONG_NAME}, 'context_management': {'edits': []}, 'service_tier': 'auto'},
    {'tool_choice': {'type': 'any'}, 'stream': False, 'output_config': {'effort': 'medium', 'format': {'type': 'json_schema', 'schema': SCHEMA}}},
    {'tool_choice': {'type': 'none'}, 'thinking': {'type': 'disabled'}, 'system': 'You help.'},
    {'tools': None, 'messages': [{'role': 'user', 'content': 'hi'}], 'stop_sequences': ['one']},
]


class Quirky(Router):
    """A model for each set of quirks, asked for by its name; `broken` is a first one that breaks off."""

    def __init__(self, home, ports, sets):
        self.sets = sets
        super().__init__(home, ports)

    def write_policy(self, ports, fallback='', extra=''):
        lines = ['listen: 127.0.0.1:0', 'backends:', f'  broken: {{wire: openai-chat, url: "http://127.0.0.1:{ports["broken"]}", key: none}}']
        lines += [f'  {n}: {{wire: openai-chat, url: "http://127.0.0.1:{ports[n]}", key: none, quirks: [{", ".join(q)}]}}' for n, q in self.sets.items()]
        how = {n: 'prefill' if set(q) & set(FLAGS) else 'instruct' for n, q in self.sets.items()}
        lines += ['models:', '  broken: {backend: broken, id: broken, images: true, thinking: true}']
        lines += [f'  {n}: {{backend: {n}, id: {n}, images: true, thinking: true, continuation: {how[n]}}}' for n in self.sets]
        lines += ['chains:'] + [f'  c-{n}: [{n}]\n  j-{n}: [broken, {n}]' for n in self.sets]
        lines += ['routes:'] + [f'  - when: {{model: "{w}-{n}"}}\n    use: {w}-{n}' for n in self.sets for w in 'cj']
        lines += ['fallback: {connect_timeout: 60s, first_byte_timeout: 60s, idle_timeout: 60s, max_wait: 0s}']
        path = os.path.join(self.home, 'policy.yaml')
        with open(path, 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')
        os.chmod(path, 0o600)


def sets():
    names = quirk_names()
    assert len(names) > 40, names
    alone = {f'q{i}': [name] for i, name in enumerate(names)}
    strict = [n for n in names if n.startswith(('no_', 'one_', 'auto_', 'fold_', 'nine_', 'json_', 'schema_'))]
    for i, switch in enumerate(SWITCHES):
        alone[f's{i}'] = [n for n in strict if n != 'no_v1'] + [switch, 'max_completion_tokens', 'reasoning_demanded', 'reasoning_content_back']
    return {'plain': [], **alone}


@scene
def c0601_every_quirk(home):
    """No request breaks a rule of a server with that quirk; each is answered, also where it goes on with another's words."""
    of = sets()
    p = Provider(home, quirks={n: q for n, q in of.items() if q}, broken='always cut-fin events=4', **{n: 'always ok' for n in of})
    r = Quirky(home, p.ports, of)
    token = r.token(name='t')
    for name, quirks in of.items():
        for more in REQUESTS:
            body = {k: v for k, v in asked(f'c-{name}', **more).items() if v is not None}
            answer = post(r.port, token, body)
            breaches = [s['breach'] for s in p.seen(name) if 'breach' in s]
            same((answer.status, breaches), (200, []), f'{quirks} asked {json.dumps(more)[:200]}')
            same(answer.headers['x-model-used'], f'{name}/{name}', 'who answered')
        r.admin('POST', '/api/reset')
        answer = post(r.port, token, asked(f'j-{name}'))
        same((answer.status, answer.checked()[2], len(p.seen(name))), (200, 'tool_use', len(REQUESTS) + 1), f'{quirks} goes on')
    same([(s['backend'], of.get(s['backend']), s['breach'], s['body'][-1500:]) for s in p.seen() if 'breach' in s], [], 'breaches')
    r.stop()
    p.stop()


sys.exit(harness.main())
