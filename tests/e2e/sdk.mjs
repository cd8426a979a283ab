// The official SDK through the router: streaming and not, with and without failures.
import Anthropic from '@anthropic-ai/sdk'
import { join } from 'node:path'
import { test, check, same, provider, makeHome, router, clean } from './lib.mjs'

const TOOLS = [{
  name: 'Write',
  description: 'Writes a file.',
  input_schema: {
    type: 'object',
    properties: { file_path: { type: 'string' }, content: { type: 'string' } },
    required: ['file_path', 'content'],
  },
}]

const FAILURES = [
  'ok', 'status 429 retry-after=1', 'status 529', 'status 500', 'status 400 message=prompt_format', 'refuse', 'hang', 'silent',
  'error-body', 'html', 'nothing', 'reset', 'close', 'error-event', 'end-early', 'garbage', 'redirect', 'encoded', 'whole',
  'no-names', 'crlf', 'trickle', 'no-stop', 'empty-end', 'thinking', 'pings',
]

async function conversation(client, stream) {
  const messages = [{ role: 'user', content: 'CONTINUO-TASK steps=2 dir=/tmp/x' }]
  const models = []
  for (let turn = 0; turn < 3; turn++) {
    const request = { model: 'claude-opus-5-5', max_tokens: 1024, messages, tools: TOOLS }
    let message
    if (stream) {
      const s = client.messages.stream(request)
      const { response } = await s.withResponse()
      models.push(response.headers.get('x-model-used'))
      message = await s.finalMessage()
    } else {
      const { data, response } = await client.messages.create(request).withResponse()
      models.push(response.headers.get('x-model-used'))
      message = data
    }
    check(Number.isInteger(message.usage.output_tokens), 'usage is numeric')
    messages.push({ role: 'assistant', content: message.content })
    const call = message.content.find((b) => b.type === 'tool_use')
    same(message.stop_reason, call ? 'tool_use' : 'end_turn', 'stop_reason')
    if (!call) return { models, last: message.content.map((b) => b.text || '').join('') }
    same(call.input.file_path, `/tmp/x/step-${turn + 1}.txt`, 'the call')
    messages.push({ role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: 'written' }] })
  }
  throw new Error('the task did not end')
}

for (const stream of [true, false]) {
  for (const failure of FAILURES) {
    await test(`sdk ${stream ? 'stream' : 'whole'}: ${failure}`, async () => {
      const home = makeHome({ first: 1, second: 1 })
      const p = await provider(join(home, 'seen.jsonl'), { first: `${failure}; ok`, second: 'ok' })
      const real = makeHome(p.ports)
      const r = await router(real)
      try {
        const client = new Anthropic({ baseURL: r.url, apiKey: r.token, maxRetries: 0 })
        // A 400 for the first backend's own body is the client's to mend.
        if (failure.startsWith('status 400')) {
          let status = 0
          await conversation(client, stream).catch((e) => { status = e.status })
          same(status, 400, 'status')
          return
        }
        const done = await conversation(client, stream)
        same(done.last, 'All 2 steps are done.', 'the last text')
        check(done.models.every((m) => m === 'first/m-first' || m === 'second/m-second'), `x-model-used ${done.models}`)
        // Some are no failure, and some are tried once more on the same model.
        // After a whole tool call the turn is finished with what there is.
        const good = ['ok', 'whole', 'no-names', 'crlf', 'trickle', 'thinking', 'garbage', 'empty-end', 'html', 'no-stop']
        same(done.models[0], good.includes(failure) ? 'first/m-first' : 'second/m-second', 'who answered the first turn')
      } finally {
        await r.stop()
        await p.stop()
        clean(home)
        clean(real)
      }
    })
  }
}
