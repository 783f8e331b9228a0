// Reads JSON from standard input: { scripts: { name: text }, state, order: [name], cut, late, fail }.
// Parses all scripts; runs those of order, one after the other, in an Exchange that begins with
// the state. With cut, sessions break off after so many changes, but for the undo. With fail, a
// cmdlet fails, in the undo that comes first or in all that comes before it.
// Writes JSON: { errors: { name: [where] }, commands: { name: [{ name, action }] },
// runs: [{ name, output, trace, shown, error, met, notes }], state }.
// met is how often the cmdlet that fails was called, notes how many notes there are afterwards.
import { readFileSync } from 'node:fs'
import { exchange } from './exchange.js'
import { commandsIn, errorsIn, Shell, Thrown } from './powershell.js'

const jobs = JSON.parse(readFileSync(0, 'utf8'))
console.log(JSON.stringify(jobs.map(job => {
  const errors = {}, commands = {}
  for (const [name, text] of Object.entries(job.scripts)) {
    const found = errorsIn(text)
    if (found.length) errors[name] = found
    else commands[name] = commandsIn(text)
  }
  const state = structuredClone(job.state ?? null)
  const budget = { left: job.cut ?? Infinity, late: job.late }
  let undone = 0
  const runs = (job.order ?? []).map(name => {
    const failing = job.fail && !undone && (name === 'undo') === !!job.fail.undo ? job.fail : null
    if (name === 'undo') undone++
    const { cmdlets, trace, met } = exchange(state, name === 'undo' ? { left: Infinity } : budget, failing)
    const run = { name, trace, output: [], shown: [], error: '' }
    const shell = new Shell(cmdlets)
    try { run.output = shell.run(job.scripts[name]).map(String) } catch (e) {
      run.error = e instanceof Thrown ? e.message : 'not run: ' + e.message
    }
    run.shown = shell.shown
    run.met = met()
    run.notes = Object.values(state.files ?? {}).flat().length
    return run
  })
  return { errors, commands, runs, state }
})))
