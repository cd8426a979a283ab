// What the end-to-end tests share: a provider, a router in a throw-away home, and a counter.
import { spawn } from 'node:child_process'
import { mkdtempSync, mkdirSync, writeFileSync, readFileSync, existsSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const BIN = process.env.CONTINUO_BIN
export const PROVIDER = process.env.CONTINUO_PROVIDER

export const results = { passed: 0, failed: 0 }

export async function test(name, body) {
  const began = Date.now()
  try {
    await body()
    results.passed++
    console.log(`ok   ${name} (${Date.now() - began} ms)`)
  } catch (e) {
    results.failed++
    console.log(`FAIL ${name}: ${e.stack || e}`)
  }
}

export function check(condition, what) {
  if (!condition) throw new Error(what)
}

export function same(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want))
    throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
}

// Backends by name, each with its script; ends when stop() closes its standard input.
export async function provider(log, scripts) {
  const args = ['--log', log, ...Object.entries(scripts).map(([n, s]) => `${n}=${s}`)]
  const child = spawn(PROVIDER, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  const first = await new Promise((resolve, reject) => {
    lines.once('line', resolve)
    child.once('exit', (code) => reject(new Error(`provider ended with ${code}`)))
  })
  return {
    ports: JSON.parse(first).ports,
    seen: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').filter(Boolean).map((l) => JSON.parse(l)) : []),
    stop: () => new Promise((resolve) => { child.once('exit', resolve); child.stdin.end() }),
  }
}

// A home with a policy whose chain is the named backends in order; those of chat speak that format.
export function makeHome(ports, fallback = '', chat = []) {
  const home = mkdtempSync(join(tmpdir(), 'continuo-e2e-'))
  const names = Object.keys(ports)
  const lines = ['listen: 127.0.0.1:0', 'backends:']
  for (const n of names) lines.push(`  ${n}: {wire: ${chat.includes(n) ? 'openai-chat' : 'anthropic'}, url: "http://127.0.0.1:${ports[n]}", key: none}`)
  lines.push('models:')
  for (const n of names) lines.push(`  m-${n}: {backend: ${n}, id: id-${n}}`)
  lines.push('chains:', `  main: [${names.map((n) => 'm-' + n).join(', ')}]`, 'routes:', '  - use: main')
  lines.push('fallback:', '  connect_timeout: 2s', '  first_byte_timeout: 1s', '  idle_timeout: 1s', '  progress_timeout: 2s')
  if (fallback) lines.push(fallback)
  writeFileSync(join(home, 'policy.yaml'), lines.join('\n') + '\n', { mode: 0o600 })
  return home
}

export function command(args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(args[0], args.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], ...options })
    let out = '', err = ''
    child.stdout.on('data', (d) => { out += d })
    child.stderr.on('data', (d) => { err += d })
    const timer = setTimeout(() => child.kill('SIGKILL'), options.limit || 120000)
    child.on('close', (code, signal) => { clearTimeout(timer); resolve({ code, signal, out, err }) })
  })
}

// Starts `serve` and makes a token; stop() drains it and checks that it ended well.
export async function router(home) {
  const ready = join(home, 'ready.json')
  let log = ''
  const child = spawn(BIN, ['serve', '--home', home, '--ready-file', ready], { stdio: ['ignore', 'ignore', 'pipe'] })
  child.stderr.on('data', (d) => { log += d })
  const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
  const until = Date.now() + 20000
  while (!existsSync(ready)) {
    if (Date.now() > until || child.exitCode !== null) throw new Error(`the router did not start: ${log}`)
    await new Promise((r) => setTimeout(r, 20))
  }
  const url = JSON.parse(readFileSync(ready, 'utf8')).url
  const made = await command([BIN, 'token', 'add', 'e2e', '--home', home, '--json'])
  check(made.code === 0, `token add: ${made.err}`)
  return {
    url,
    token: JSON.parse(made.out).token,
    log: () => log,
    stop: async () => {
      child.kill('SIGTERM')
      const code = await ended
      check(code === 0, `the router ended with ${code}: ${log.slice(-2000)}`)
    },
  }
}

export function clean(path) {
  rmSync(path, { recursive: true, force: true })
}

export function workDir() {
  const dir = mkdtempSync(join(tmpdir(), 'continuo-work-'))
  mkdirSync(join(dir, 'home'))
  mkdirSync(join(dir, 'project'))
  return dir
}
