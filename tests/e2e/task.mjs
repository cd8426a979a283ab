// The task that scripted models work on, done by the real Claude Code: what must be true of it at
// its end, whoever answered.
import { existsSync, readFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { BIN, check, same, command } from './lib.mjs'
import { nudges, textOf } from './client.mjs'

// What breaks off cools down; here it is to break off again and again.
export function keepsWell(home) {
  const timer = setInterval(() => {
    const request = http.request({ socketPath: join(home, 'admin.sock'), path: '/api/reset', method: 'POST', agent: false,
      headers: { host: 'x', 'content-type': 'application/json', 'content-length': 2 } }, (r) => r.resume())
    request.on('error', () => {}) // not there yet, or not any more
    request.end('{}')
  }, 20)
  return () => clearInterval(timer)
}

export const callsOf = (m) => m.content.filter((b) => b.type === 'tool_use')
export const resultsOf = (m) => m.content.filter((b) => b.type === 'tool_result')

// What the scripted model says after so many results.
export const stepsOf = (steps) => (done) => (done < steps ? `Step ${done + 1} of ${steps}: I write the file for it now.` : `All ${steps} steps are done.`)
export const agentsOf = (agents) => (done) => (done < agents ? 'Each part gets an agent of its own now.' : `All ${agents} agents are done.`)

// One conversation: each call has one result, and each answer says what it should, no word of it
// lost or, but where the model said it all again, said twice.
export function checkConversation(messages, want, again = false) {
  const called = [], answered = []
  for (const m of messages) {
    if (m.role === 'assistant') {
      const text = textOf(m)
      same(again ? text.slice(-want(answered.length).length) : text, want(answered.length), 'an answer')
      called.push(...callsOf(m).map((c) => c.id))
    }
    answered.push(...resultsOf(m).map((r) => r.tool_use_id))
  }
  same(new Set(called).size, called.length, 'the different ids of calls')
  same(answered.toSorted(), called.toSorted(), 'a result for each call, and one only')
}

// dirs: where the steps were done.
export function checkFiles(r, dirs, steps) {
  const files = dirs.flatMap((d) => Array.from({ length: steps }, (_, i) => [join(d, `step-${i + 1}.txt`), `step ${i + 1}\n`]))
  for (const [file, content] of files) {
    check(existsSync(file), `${file} was not written`)
    same(readFileSync(file, 'utf8'), content, `what was written to ${file}`)
  }
  const written = r.ran.filter((t) => t.tool === 'Write').map((t) => t.input.file_path)
  same(written.toSorted(), files.map(([f]) => f).toSorted(), 'the files that Write was run for')
}

export async function exported(home) {
  const list = JSON.parse((await command([BIN, 'sessions', 'list', '--home', home, '--json'])).out)
  const id = (Array.isArray(list) ? list : list.sessions)[0].session
  const out = await command([BIN, 'sessions', 'export', id, '--home', home])
  same(out.code, 0, `sessions export: ${out.err}`)
  const lines = out.out.split('\n').filter(Boolean).map((l) => JSON.parse(l))
  const shown = await command([BIN, 'sessions', 'show', id, '--home', home])
  same(shown.code, 0, `sessions show: ${shown.err}`)
  return { turns: lines.filter((l) => l.type === 'turn'), answers: lines.filter((l) => l.answer), shown: shown.out }
}

export function checkUnseen({ r }, last) {
  same(r.code, 0, `exit status\n${r.told}`)
  same(r.retries, 0, 'retries that were visible to the client')
  check(r.result && r.result.result.startsWith(last), `the final text\n${r.told}`)
  for (const messages of r.transcripts) same(nudges(messages), [], 'words of the client that the task does not have')
}
