// The real Claude Code against a backend of its own format that knows only a part of it: what
// it would refuse never arrives, and what was sent on one turn is sent again on the next.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, check, same, provider, makeHome, clean, workDir } from './lib.mjs'
import { CLAUDE, session } from './client.mjs'

const STEPS = 5
const QUIRKS = ['no_attribution', 'no_system_messages', 'no_deferred_tools', 'no_documents', 'plain_blocks', 'no_cache_control',
  'no_adaptive_thinking', 'no_effort', 'auto_tool_choice']

// A string is one block of text: the client writes either, as its marker moves on.
const blocks = (content) => (typeof content === 'string' ? [{ type: 'text', text: content }] : content)

function checkOne(body, text, folds) {
  for (const word of ['"role":"system"', '"defer_loading"', '"tool_reference"', '"cache_control"', '"output_config"', '"adaptive"'])
    check(!text.includes(word), `${word} in a request`)
  check(!text.includes('x-anthropic-billing-header'), 'the attribution in a request')
  check(body.messages.every((m, i) => m.role === (i % 2 ? 'assistant' : 'user')), `roles ${body.messages.map((m) => m.role)}`)
  // In the first message the client's own words stand behind it.
  const system = folds ? body.messages[0].content : body.system
  same('system' in body, !folds, 'whether there is a system prompt')
  check(system.some((b) => b.text === 'Be brief.\n'), 'the prompt of the policy is not in the request')
  check(!folds || system.length > 4, `${system.length} blocks in the first message`)
}

async function run(more) {
  const folds = more.includes('fold_system')
  const dir = workDir()
  const p = await provider(join(dir, 'seen.jsonl'), { first: 'ok' })
  const home = makeHome(p.ports)
  const policy = join(home, 'policy.yaml')
  const project = join(dir, 'project')
  writeFileSync(join(home, 'brief.md'), 'Be brief.\n', { mode: 0o600 })
  writeFileSync(policy, readFileSync(policy, 'utf8')
    .replace('key: none', `key: none, quirks: [${[...QUIRKS, ...more].join(', ')}]`)
    .replace('id: id-first', 'id: id-first, prompt: {append: brief.md}'))
  try {
    const s = await session(home, dir, `Please do this. CONTINUO-TASK steps=${STEPS} dir=${project}`)
    same(s.code, 0, `exit status\n${s.told}`)
    same([s.result && s.result.result, s.retries], [`All ${STEPS} steps are done.`, 0], `the end\n${s.told}`)
    for (let i = 1; i <= STEPS; i++) check(existsSync(join(project, `step-${i}.txt`)), `step ${i} wrote no file`)
    // Titles have no tools, counts no limit.
    const sent = p.seen().filter((r) => r.body).map((r) => ({ text: r.body, body: JSON.parse(r.body) }))
      .filter(({ body }) => body.max_tokens && body.tools && body.tools.length > 1)
    check(sent.length > STEPS, `${sent.length} requests`)
    let before = []
    for (const { body, text } of sent) {
      checkOne(body, text, folds)
      const now = body.messages.map((m) => JSON.stringify(blocks(m.content)))
      same(now.slice(0, before.length), before, 'what was sent before')
      before = now
    }
    same([...new Set(sent.map(({ body }) => JSON.stringify([body.system, body.tools])))].length, 1, 'different systems and tools')
    check(before.some((m) => m.includes('<system-reminder>')), 'no reminder came')
  } finally {
    await p.stop()
    clean(home)
    clean(dir)
  }
}

if (!existsSync(CLAUDE)) {
  console.log('plain: the native program is not there for this machine: skipped')
} else {
  await test('plain: a backend that knows a part of the format', () => run([]))
  await test('plain: one that drops the system prompt as well', () => run(['fold_system']))
}
