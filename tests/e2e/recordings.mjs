// Every recorded Chat Completions answer through the real router, read by the official SDK:
// streamed and whole, as it was recorded and framed otherwise, against what the index says of it.
// Without the directory of the recordings it is skipped.
import Anthropic from '@anthropic-ai/sdk'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, check, router, clean } from './lib.mjs'

const FIXTURES = join(process.env.CONTINUO_SHARED || '/nowhere', 'fixtures')
const AT_ONCE = 16
const SMALL = 12000 // of bytes that go out one by one

// Where we mean to tell something else than the index, which tells what was sent.
const APART = [
  [/groq-model-thinking-part\.1|groq-model-thinking-part-iter\.1|reasoning-wire-contract-groq-qwen3-effort-setting|hf-model-thinking-part|huggingface\/pyai\.simple-completion/, 'thought'],
  [/ollmetry\.lcel\.(lcel-with-datetime\.response|simple-lcel\.1\.response)\.json/, 'old call'],
  [/xai\/vercel\.xai-t/, 'beside'], // reasoning that is counted beside the output belongs to it
  [/tool-truncation-contract-matrix\.(blocking-gpt41-(low|mid)|streaming-gpt41-mid)/, 'cut call'],
]
const apartOf = (e) => (APART.find(([pattern]) => pattern.test(e.file)) || [])[1]

// ---- the upstream: the request says what is played, and how it is framed ----

const FRAMES = {
  asis: (body) => [body],
  crlf: (body) => [Buffer.from(body.toString().replace(/\r?\n/g, '\r\n'))],
  tight: (body) => [Buffer.from(body.toString().replace(/^data: /gm, 'data:'))],
  events: (body) => body.toString().split(/(?<=\n\n)/).map((s) => Buffer.from(s)),
  bytes: (body) => Array.from(body, (b) => Buffer.of(b)),
}

function play(request, response) {
  const parts = []
  request.on('data', (d) => parts.push(d))
  request.on('end', () => {
    const [, index, frame] = /PLAY (\d+) (\w+)/.exec(Buffer.concat(parts).toString())
    const e = recordings[index]
    const sse = e.format === 'sse'
    response.writeHead(e.status, { 'content-type': sse ? 'text/event-stream' : 'application/json' })
    for (const piece of FRAMES[frame](readFileSync(join(FIXTURES, e.file)))) response.write(piece)
    response.end()
  })
}

// ---- what the SDK has ----

function sorted(v) {
  if (Array.isArray(v)) return `[${v.map(sorted).join(',')}]`
  if (v === null || typeof v !== 'object') return JSON.stringify(v)
  return `{${Object.keys(v).sort().map((k) => `${JSON.stringify(k)}:${sorted(v[k])}`).join(',')}}`
}
const sha = (text) => createHash('sha256').update(text).digest('hex')
const NONE = sha('{}')
const NULL = sha('null') // what a client cannot take: told as {}
const joined = (m, type) => m.content.filter((b) => b.type === type).map((b) => b[type]).join('')

// undefined, or what differs.
function differs(e, m) {
  const want = e.expected, apart = apartOf(e)
  const text = joined(m, 'text'), thinking = joined(m, 'thinking')
  const calls = m.content.filter((b) => b.type === 'tool_use')
  // Cut before its first argument, a call is no call; the index has {} for it.
  const valid = want.tools.filter((t) => t.arguments_valid && !(want.anthropic_stop_reason === 'max_tokens' && t.arguments_sha256 === NONE))
  if (apart === 'thought') {
    const size = Buffer.byteLength(text) + Buffer.byteLength(thinking)
    if (!thinking || size >= want.text_bytes || size + 32 < want.text_bytes) return 'the thought in the text'
  } else if (want.refusal_bytes) {
    if (Buffer.byteLength(text) !== want.text_bytes + want.refusal_bytes) return 'the text of a refusal'
  } else if (sha(text) !== want.text_sha256) return `the text: ${Buffer.byteLength(text)} bytes for ${want.text_bytes}`
  if (want.reasoning_bytes && sha(thinking) !== want.reasoning_sha256) return `the thinking: ${Buffer.byteLength(thinking)} bytes for ${want.reasoning_bytes}`
  if (apart === 'old call') return calls.length === 1 && m.stop_reason === 'tool_use' ? undefined : 'the call of the old form'
  if (apart === 'cut call') return calls.length < want.tools.length ? undefined : 'a call that was cut was given'
  if (calls.length !== valid.length) return `${calls.length} calls for ${valid.length}`
  for (const [i, call] of calls.entries()) {
    if (call.name !== valid[i].name) return `call ${i} is of ${call.name}`
    if (sha(sorted(call.input)) !== (valid[i].arguments_sha256 === NULL ? NONE : valid[i].arguments_sha256)) return `the arguments of call ${i}: ${sorted(call.input).slice(0, 200)}`
  }
  if (m.stop_reason !== want.anthropic_stop_reason) return `stop_reason ${m.stop_reason} for ${want.anthropic_stop_reason}`
  for (const key of ['input_tokens', 'output_tokens'])
    if (!Number.isInteger(m.usage[key])) return `${key} is ${m.usage[key]}`
  const output = want.usage && want.usage.output_tokens + (apart === 'beside' ? want.usage_raw.completion_tokens_details.reasoning_tokens : 0)
  if (want.usage && m.usage.output_tokens !== output) return `${m.usage.output_tokens} tokens for ${output}`
  return undefined
}

const oldNames = (e) => (apartOf(e) === 'old call'
  ? [JSON.parse(readFileSync(join(FIXTURES, e.file), 'utf8')).choices[0].message.function_call.name] : [])

const reading = (e, i, frame, stream) => ({
  model: 'recorded', max_tokens: (e.expected.usage && e.expected.usage.output_tokens) || 1, thinking: { type: 'adaptive' }, stream,
  messages: [{ role: 'user', content: `PLAY ${i} ${frame}` }],
  tools: [...new Set([...e.expected.tools.map((t) => t.name), ...oldNames(e)]), 'other'].map((name) => ({ name, input_schema: { type: 'object' } })),
})

// One answer; undefined when the SDK has what it should.
async function read(client, { e, i, frame, stream }) {
  const good = e.status < 400 && e.expected.anthropic_stop_reason !== null
  const request = reading(e, i, frame, stream)
  let message
  try {
    message = stream ? await client.messages.stream(request).finalMessage() : await client.messages.create(request)
  } catch (error) {
    if (good) return `${error.status} ${error.message}`
    const said = error.error && error.error.error
    return said && said.type && said.message ? undefined : `an error without words: ${error.status} ${error.message}`
  }
  const refused = e.expected.error && e.expected.error.code === 'content_filter'
  if (refused) return message.stop_reason === 'refusal' ? undefined : `stop_reason ${message.stop_reason} for a refusal`
  return good ? differs(e, message) : `an answer from ${e.status} ${e.expected.finish_reason}`
}

// ---- all of them ----

async function inParallel(items, act) {
  const queue = [...items.entries()]
  const found = []
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let next = queue.shift(); next; next = queue.shift()) found[next[0]] = await act(next[1])
  }))
  return found
}

const reset = (home) => new Promise((resolve, reject) => {
  const request = http.request({ socketPath: join(home, 'admin.sock'), path: '/api/reset', method: 'POST', agent: false,
    headers: { host: 'x', 'content-type': 'application/json', 'content-length': 2 } }, (r) => r.resume().on('end', resolve))
  request.on('error', reject)
  request.end('{}')
})

function plays() {
  const all = []
  for (const [i, e] of recordings.entries()) {
    const others = Object.keys(FRAMES).slice(1, e.bytes < SMALL ? 5 : 4)
    for (const stream of [true, false]) all.push({ e, i, frame: 'asis', stream })
    if (e.format === 'sse') all.push({ e, i, frame: others[i % others.length], stream: true })
  }
  return all
}

// Those that fail cool their model down and come one by one, as does what failed in the crowd.
async function readAll(home, client) {
  const all = plays()
  const fails = (p) => p.e.status >= 400 || p.e.expected.anthropic_stop_reason === null
  const crowd = all.filter((p) => !fails(p))
  const found = await inParallel(crowd, (p) => read(client, p))
  const wrong = []
  for (const p of [...crowd.filter((_, i) => found[i]), ...all.filter(fails)]) {
    await reset(home)
    const what = await read(client, p)
    if (what) wrong.push(`${p.e.file} (${p.frame}, ${p.stream ? 'streamed' : 'whole'}): ${what}`)
  }
  check(wrong.length === 0, `${wrong.length} of ${all.length} are read otherwise:\n${wrong.join('\n')}`)
  console.log(`     ${all.length} answers of ${recordings.length} recordings`)
}

async function run() {
  const upstream = http.createServer(play)
  await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const home = mkdtempSync(join(tmpdir(), 'continuo-e2e-'))
  writeFileSync(join(home, 'policy.yaml'), `listen: 127.0.0.1:0
backends:
  up: {wire: openai-chat, url: "http://127.0.0.1:${upstream.address().port}", key: none}
models:
  recorded: {backend: up, id: recorded, thinking: true}
chains:
  main: [recorded]
routes:
  - use: main
fallback: {first_byte_timeout: 60s, idle_timeout: 60s, max_wait: 0s, continuation: off, on: [overloaded]}
`, { mode: 0o600 })
  const r = await router(home)
  try {
    await readAll(home, new Anthropic({ baseURL: r.url, apiKey: r.token, maxRetries: 0 }))
  } finally {
    await r.stop()
    upstream.closeAllConnections()
    await new Promise((resolve) => upstream.close(resolve))
    clean(home)
  }
}

let recordings = []
if (!existsSync(join(FIXTURES, 'index.json'))) {
  console.log('recordings: the shared directory is not there: skipped')
} else {
  recordings = JSON.parse(readFileSync(join(FIXTURES, 'index.json'), 'utf8')).filter((e) => e.wire === 'openai-chat')
  await test('sdk: every recorded Chat Completions answer', run)
}
