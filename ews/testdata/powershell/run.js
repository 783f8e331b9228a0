// Reads JSON from standard input: { scripts: { name: text }, state, order: [name], cut, late }.
// Parses all scripts; runs those of order, one after the other, in an Exchange that begins with
// the state. With cut, sessions break off after so many changes, but for the undo.
// Writes JSON: { errors: { name: [where] }, runs: [{ name, output, trace, error }], state }.
import { readFileSync } from 'node:fs'
import { exchange } from './exchange.js'
import { errorsIn, Shell, Thrown } from './powershell.js'

const jobs = JSON.parse(readFileSync(0, 'utf8'))
console.log(JSON.stringify(jobs.map(job => {
  const errors = {}
  for (const [name, text] of Object.entries(job.scripts)) {
    const found = errorsIn(text)
    if (found.length) errors[name] = found
  }
  const state = structuredClone(job.state ?? null)
  const budget = { left: job.cut ?? Infinity, late: job.late }
  const runs = (job.order ?? []).map(name => {
    const { cmdlets, trace } = exchange(state, name === 'undo' ? { left: Infinity } : budget)
    const run = { name, trace, output: [], error: '' }
    try { run.output = new Shell(cmdlets).run(job.scripts[name]).map(String) } catch (e) {
      run.error = e instanceof Thrown ? e.message : 'not run: ' + e.message
    }
    return run
  })
  return { errors, runs, state }
})))
