// PowerShell, as far as the scripts of Postern go: the grammar is that of VS Code, and what
// it reads is run. Whatever is not known here is an error, not skipped.
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)
const wasm = path.dirname(require.resolve('@vscode/tree-sitter-wasm'))
const { Parser, Language } = require('@vscode/tree-sitter-wasm')
await Parser.init({ locateFile: file => path.join(wasm, file) })
const parser = new Parser()
parser.setLanguage(await Language.load(path.join(wasm, 'tree-sitter-powershell.wasm')))

// errorsIn says where a script is no PowerShell.
export function errorsIn(text) {
  const root = parser.parse(text).rootNode
  const errors = []
  const wrong = (n, why) => errors.push(`line ${n.startPosition.row + 1}: ${why}`)
  const visit = n => {
    if (n.isError || n.isMissing) wrong(n, n.text.slice(0, 80))
    else if (n.hasError) n.children.forEach(visit)
  }
  visit(root)
  for (const n of root.descendantsOfType('verbatim_string_characters')) {
    try { verbatim(n.text) } catch (e) { wrong(n, e.message) }
  }
  return errors
}

// commandsIn lists the commands of a script, but for its own functions, each with its -ErrorAction.
export function commandsIn(text) {
  const root = tree(text)
  const own = new Set(), out = []
  const visit = n => {
    if (n.type === 'function_statement') own.add(n.namedChildren.find(c => c.type === 'function_name').text.toLowerCase())
    const name = n.type === 'command' && n.namedChildren.find(c => c.type === 'command_name')?.text
    if (name) {
      const given = (n.namedChildren.find(c => c.type === 'command_elements')?.namedChildren ?? []).filter(c => c.type !== 'command_argument_sep')
      const at = given.findIndex(c => c.type === 'command_parameter' && same(c.text, '-ErrorAction'))
      out.push({ name, action: at < 0 ? '' : given[at + 1]?.text ?? '' })
    }
    n.children.forEach(visit)
  }
  visit(root)
  return out.filter(c => !own.has(c.name.toLowerCase()))
}

// tree returns a copy of the tree of a script, since to walk the parser's own is slow.
function tree(text) {
  if (trees.has(text)) return trees.get(text)
  const cursor = parser.parse(text).walk()
  const copy = () => {
    const n = { type: cursor.nodeType, startIndex: cursor.startIndex, endIndex: cursor.endIndex, named: cursor.nodeIsNamed, children: [] }
    n.text = text.slice(n.startIndex, n.endIndex)
    if (cursor.gotoFirstChild()) {
      do n.children.push(copy()); while (cursor.gotoNextSibling())
      cursor.gotoParent()
    }
    n.namedChildren = n.children.filter(c => c.named)
    return n
  }
  trees.set(text, copy())
  return trees.get(text)
}

const trees = new Map()

const quote = /['\u2018\u2019\u201a\u201b]/

// verbatim reads a string between single quotes as PowerShell does: any of four quotes ends
// it, unless another follows. The grammar knows only the straight one.
export function verbatim(text) {
  let out = ''
  for (let i = 1; i < text.length - 1; i++) {
    if (quote.test(text[i]) && !(i + 1 < text.length - 1 && quote.test(text[++i]))) throw new Error(`the string ends early: ${text}`)
    if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text[i])) throw new Error('a control character in a string')
    out += text[i]
  }
  return out
}

// A Thrown error is one that PowerShell would show. With Ended, the shell itself is gone.
export class Thrown extends Error {}
export class Ended extends Thrown {}

const same = (a, b) => a === b || (typeof a === 'string' && typeof b === 'string' && a.toLowerCase() === b.toLowerCase())
const list = v => v === null || v === undefined ? [] : Array.isArray(v) ? v : [v]
const one = out => out.length === 0 ? null : out.length === 1 ? out[0] : out
const like = (text, pattern) => new RegExp('^' + [...String(pattern)].map(c => c === '*' ? '.*' : c === '?' ? '.' : c.replace(/[.+^${}()|[\]\\]/, '\\$&')).join('') + '$', 'is').test(text)
const truth = v => Array.isArray(v) ? v.length > 1 || (v.length === 1 && truth(v[0])) : !(v === null || v === undefined || v === false || v === 0 || v === '')
const parts = n => n.namedChildren[0].type === 'pipeline_chain' ? n.namedChildren[0].namedChildren : n.namedChildren
const member = (o, name) => {
  if (o === null || o === undefined) return null
  if (name.toLowerCase() === 'count') return Array.isArray(o) ? o.length : typeof o === 'object' ? Object.keys(o).length : 1
  const key = Object.keys(o).find(k => same(k, name))
  if (key === undefined) throw new Error(`no property ${name} of ${JSON.stringify(o)}`)
  return o[key]
}

// Shell runs scripts; cmdlets are what it may call: name → { switches, params, run(args, input) }.
export class Shell {
  constructor(cmdlets) { this.cmdlets = cmdlets; this.out = [] }

  // run runs a script in a session of its own and returns what it wrote.
  run(text) {
    this.functions = {}
    this.shown = []
    this.script = { home: '/home/admin' }
    this.scopes = [this.script]
    return this.statements(tree(text))
  }

  get(name) {
    const key = name.toLowerCase().replace(/^script:/, '')
    if (key in constants) return constants[key]
    if (name.toLowerCase().startsWith('script:')) return this.script[key] ?? null
    for (let i = this.scopes.length - 1; i >= 0; i--) if (key in this.scopes[i]) return this.scopes[i][key]
    throw new Error(`the variable $${name} was never set`)
  }

  set(name, value) {
    const key = name.toLowerCase()
    if (key.startsWith('script:')) this.script[key.slice(7)] = value
    else this.scopes.at(-1)[key] = value
  }

  statements(node) {
    const out = []
    for (const n of node?.namedChildren ?? []) out.push(...this.statement(n))
    return out
  }

  statement(n) {
    const kids = n.namedChildren.filter(c => c.type !== 'comment')
    switch (n.type) {
      case 'comment': case 'empty_statement': return []
      case 'statement_list': case 'statement_block': case 'script_block_body': return this.statements(n)
      case 'pipeline': return this.pipeline(n)
      case 'if_statement': {
        if (truth(this.result(kids[0]))) return this.statements(kids[1])
        for (const rest of kids.slice(2)) {
          if (rest.type === 'else_clause') return this.statements(rest)
          for (const clause of rest.namedChildren) {
            const [condition, block] = clause.namedChildren
            if (truth(this.result(condition))) return this.statements(block)
          }
        }
        return []
      }
      case 'foreach_statement': {
        const out = []
        for (const item of list(this.result(kids[1]))) {
          this.set(kids[0].text.slice(1), item)
          out.push(...this.statements(kids[2]))
        }
        return out
      }
      case 'for_statement': {
        const out = []
        for (this.pipeline(kids[0].namedChildren[0]); truth(one(this.pipeline(kids[1].namedChildren[0]))); this.pipeline(kids[2].namedChildren[0])) out.push(...this.statements(kids[3]))
        return out
      }
      case 'switch_statement': {
        const value = one(this.pipeline(kids[0].namedChildren[0]))
        const clauses = kids[1].namedChildren[0].namedChildren
        const hit = clauses.find(c => c.namedChildren[0].text !== 'default' && same(this.value(c.namedChildren[0].namedChildren[0] ?? c.namedChildren[0]), value)) ??
          clauses.find(c => c.namedChildren[0].text === 'default')
        return hit ? this.statements(hit.namedChildren[1]) : []
      }
      case 'function_statement': {
        const name = kids.find(c => c.type === 'function_name').text
        const params = kids.find(c => c.type === 'function_parameter_declaration')
        const body = kids.find(c => c.type === 'script_block')
        this.functions[name.toLowerCase()] = { params: variables(params), body }
        return []
      }
      case 'flow_control_statement':
        if (n.children[0].text.toLowerCase() === 'throw') throw new Thrown(String(one(this.pipeline(kids[0]))))
    }
    throw new Error(`a statement that is not known: ${n.type}: ${n.text.slice(0, 60)}`)
  }

  block(node) { return this.statements(node.type === 'script_block' ? node.namedChildren.find(c => c.type === 'script_block_body') : node) }

  pipeline(n) {
    const kids = n.namedChildren
    if (kids[0].type === 'assignment_expression') {
      const [left, , right] = kids[0].namedChildren
      this.set(left.text.slice(1), this.result(right))
      return []
    }
    const chain = parts(n)
    let flow = null
    for (const part of chain) {
      if (part.type === 'command') flow = this.command(part, flow)
      else flow = /_(in|de)crement_expression/.test(part.type) ? [] : list(this.value(part))
    }
    return flow ?? []
  }

  // result is what a pipeline assigns: of commands nothing, the one thing or a list; an
  // expression's value as it is, also a list of one or none.
  result(n) {
    const chain = parts(n)
    return chain.length === 1 && chain[0].type !== 'command' ? this.value(chain[0]) : one(this.pipeline(n))
  }

  command(n, input) {
    const each = n.namedChildren.find(c => c.type === 'foreach_command')
    if (each) return input.flatMap(item => this.with(item, blockIn(each)))
    const name = n.namedChildren.find(c => c.type === 'command_name')?.text
    if (!name) throw new Error(`a command without a name: ${n.text}`)
    const given = this.args(n.namedChildren.find(c => c.type === 'command_elements'))
    const own = this.functions[name.toLowerCase()]
    if (own) {
      const scope = {}
      own.params.forEach((p, i) => { scope[p.toLowerCase()] = given[i] ? given[i].value : null })
      this.scopes.push(scope)
      try { return this.block(own.body) } finally { this.scopes.pop() }
    }
    switch (name.toLowerCase()) {
      case 'where-object': return input.filter(item => truth(one(this.with(item, given[0].value))))
      case 'out-null': return []
      case 'format-list': case 'format-table': return input.map(o => JSON.stringify(o))
      case 'write-output': return [String(given[0].value)]
      case 'write-warning': return ['WARNING: ' + given[0].value]
    }
    const known = Object.keys(this.cmdlets).find(k => same(k, name))
    if (!known) throw new Error(`a command that is not known: ${name}`)
    return this.call(known, given, input)
  }

  call(name, given, input) {
    const spec = this.cmdlets[name]
    const args = {}
    let action = '', place = 0
    for (let i = 0; i < given.length; i++) {
      const g = given[i]
      if (!g.param) {
        const param = spec.positional?.[place++]
        if (!param) throw new Error(`${name}: an argument without a name`)
        args[param] = g.value
        continue
      }
      const next = given[i + 1]
      if (same(g.param, 'Confirm')) { i++; continue }
      const isSwitch = spec.switches?.find(s => same(s, g.param))
      if (isSwitch) { args[isSwitch] = true; continue }
      if (!next || next.param) throw new Error(`${name} -${g.param}: no argument`)
      i++
      if (same(g.param, 'ErrorAction')) { action = next.value; continue }
      const param = spec.params.find(p => same(p, g.param))
      if (!param) throw new Error(`${name} has no parameter ${g.param}`)
      args[param] = next.value
    }
    try { return list(spec.run(args, input)) } catch (e) {
      // The proxies of a remote session do not see the script's $ErrorActionPreference: without
      // a word on the command itself, its error is shown, and the script goes on.
      if (!(e instanceof Thrown) || e instanceof Ended || same(action, 'Stop')) throw e
      if (!same(action, 'SilentlyContinue')) this.shown.push(`${name}: ${e.message}`)
      return []
    }
  }

  // args reads what stands behind a command: { param } or { value }.
  args(n) {
    const out = []
    for (const c of n?.namedChildren ?? []) {
      if (c.type === 'command_argument_sep') continue
      if (c.type === 'command_parameter') out.push({ param: c.text.replace(/^-|:$/g, '') })
      else if (c.type === 'generic_token') out.push({ value: c.text })
      else out.push({ value: this.value(c) })
    }
    return out
  }

  with(item, block) {
    this.scopes.push({ _: item })
    try { return this.block(block) } finally { this.scopes.pop() }
  }

  value(n) {
    const kids = n.namedChildren
    switch (n.type) {
      case 'verbatim_string_characters': return verbatim(n.text)
      case 'expandable_string_literal': return this.expand(n)
      case 'decimal_integer_literal': return Number(n.text)
      case 'variable': return this.get(n.text.slice(1))
      case 'generic_token': return n.text
      case 'parenthesized_expression': return this.result(kids[0])
      case 'sub_expression': return one(this.statements(n))
      case 'array_expression': return this.statements(kids[0])
      case 'script_block_expression': return kids[0]
      case 'hash_literal_expression': {
        const hash = {}
        for (const entry of kids[0]?.namedChildren ?? []) hash[entry.namedChildren[0].text] = this.result(entry.namedChildren[1])
        return hash
      }
      case 'member_access': return member(this.value(kids[0]), kids[1].text)
      case 'element_access': return this.value(kids[0])[this.value(kids[1])]
      case 'invokation_expression': return this.invoke(kids)
      case 'post_decrement_expression': { const name = kids[0].text.slice(1); this.set(name, this.get(name) - 1); return [] }
      case 'expression_with_unary_operator':
        if (n.children[0].text.toLowerCase() === '-not') return !truth(this.value(kids.at(-1)))
        break
      case 'array_literal_expression': if (kids.length > 1) return kids.flatMap(k => list(this.value(k)))
    }
    if (kids.length === 1 && n.text.trim() === kids[0].text.trim()) return this.value(kids[0])
    if (n.children.length === 3) return this.binary(n.children[1].text.toLowerCase(), n.children[0], n.children[2])
    throw new Error(`an expression that is not known: ${n.type}: ${n.text.slice(0, 60)}`)
  }

  binary(op, left, right) {
    const a = this.value(left)
    if (op === '-and') return truth(a) && truth(this.value(right))
    if (op === '-or') return truth(a) || truth(this.value(right))
    const b = this.value(right)
    switch (op) {
      case '+': return Array.isArray(a) ? [...a, ...list(b)] : typeof a === 'string' ? a + (b ?? '') : a + b
      case '-': return a - b
      case '-eq': return same(a, b)
      case '-ne': return !same(a, b)
      case '-ge': return a >= b
      case '-lt': return a < b
      case '-gt': return a > b
      case '-like': return like(a ?? '', b)
      case '-contains': return list(a).some(x => same(x, b))
      case '-replace': return String(a ?? '').replace(new RegExp(b[0], 'gi'), b[1].replaceAll('$0', '$$&'))
      case '-join': return list(a).join(b)
    }
    throw new Error(`an operator that is not known: ${op}`)
  }

  invoke([target, name, args]) {
    const on = this.value(target)
    const given = (args?.namedChildren ?? []).flatMap(l => l.namedChildren).map(a => this.value(a))
    if (typeof on !== 'string') throw new Thrown(`no method ${name.text} of ${on}`)
    switch (name.text.toLowerCase()) {
      case 'replace': return on.replaceAll(given[0], given[1])
      case 'contains': return on.includes(given[0])
      case 'split': return on.split(given[0])
      case 'trim': return on.trim()
    }
    throw new Error(`a method that is not known: ${name.text}`)
  }

  expand(n) {
    let out = '', at = n.startIndex + 1
    for (const c of n.namedChildren) {
      out += n.text.slice(at - n.startIndex, c.startIndex - n.startIndex)
      const v = this.value(c)
      out += Array.isArray(v) ? v.join(' ') : v ?? ''
      at = c.endIndex
    }
    return out + n.text.slice(at - n.startIndex, n.text.length - 1)
  }
}

const blockIn = n => n.type === 'script_block' ? n : n.namedChildren.map(blockIn).find(Boolean)

const constants = { null: null, true: true, false: false }

function variables(n) {
  if (!n) return []
  return n.type === 'variable' ? [n.text.slice(1)] : n.namedChildren.flatMap(variables)
}
