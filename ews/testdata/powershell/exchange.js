// An Exchange organization as the scripts see it. Each cmdlet has the parameters that
// Microsoft documents and the scripts use; what changes something is written to the trace.
import { Ended, Thrown } from './powershell.js'

const key = s => String(s).toLowerCase()
const has = (l, x) => l.some(e => key(e) === key(x))

// budget.left is how many changes there may be yet: with the next one the session breaks off,
// as a shell that is closed does. It is done nevertheless when budget.late.
// fail names a cmdlet that fails, or that says nothing and does nothing when it is silent.
export function exchange(state, budget, fail) {
  const trace = []
  const did = (verb, what, change) => {
    const over = --budget.left < 0
    if (!over || budget.late) change()
    if (over) throw new Ended('the session breaks off')
    trace.push(`${verb} ${what}`)
  }
  const find = (kind, id) => state[kind].find(o => [o.Name, o.DistinguishedName, ...(o.Aliases ?? [])].some(n => n !== undefined && key(n) === key(id)))
  const need = (kind, id) => {
    const o = find(kind, id)
    if (!o) throw new Thrown(`${id} was not found among ${kind}`)
    return o
  }
  const made = (kind, o) => {
    if (find(kind, o.Name)) throw new Thrown(`${o.Name} exists already among ${kind}`)
    did('+ ' + kind, o.Name, () => state[kind].push(o))
    return o
  }
  const gone = (kind, id) => { const o = need(kind, id); did('- ' + kind, o.Name, () => state[kind].splice(state[kind].indexOf(o), 1)) }
  const join = (kind, id, dn, field) => {
    const o = need(kind, id)
    need('objects', dn)
    if (has(o[field], dn)) throw new Thrown(`${dn} is a member already`)
    did(`+ ${kind}.${field}`, `${o.Name}: ${dn}`, () => o[field].push(dn))
  }
  const leave = (kind, id, dn, field) => {
    const o = need(kind, id)
    if (!has(o[field], dn)) throw new Thrown(`${dn} is no member`)
    did(`- ${kind}.${field}`, `${o.Name}: ${dn}`, () => { o[field] = o[field].filter(m => key(m) !== key(dn)) })
  }
  const modified = (old, value) => {
    if (value && value.Add) return [...old, ...[].concat(value.Add)]
    if (value && value.Remove) return old.filter(e => !has([].concat(value.Remove), e))
    return value === null ? [] : [].concat(value)
  }
  const settings = (target, args, what) => {
    for (const name of ['EwsEnabled', 'EwsApplicationAccessPolicy', 'EwsAllowedAppIDs']) {
      if (!(name in args)) continue
      did('=', `${what}.${name}: ${target[name]} -> ${args[name]}`, () => { target[name] = args[name] })
    }
    if ('EwsAllowList' in args) {
      const next = modified(target.EwsAllowList, args.EwsAllowList)
      if (target.EwsApplicationAccessPolicy !== 'EnforceAllowList' && next.length) throw new Thrown('an allow list without the policy to enforce it')
      for (const e of next) if (!has(target.EwsAllowList, e)) did(`+ ${what}.EwsAllowList`, e, () => { target.EwsAllowList = [...target.EwsAllowList, e] })
      for (const e of target.EwsAllowList) if (!has(next, e)) did(`- ${what}.EwsAllowList`, e, () => { target.EwsAllowList = target.EwsAllowList.filter(x => x !== e) })
    }
  }
  const permission = (kind, field) => ({
    get: a => state[kind].filter(p => key(p.Identity) === key(need('objects', a.Identity).DistinguishedName) && (!a.User || key(p.User) === key(need('objects', a.User).DistinguishedName))),
    add: a => {
      const p = { Identity: need('objects', a.Identity).DistinguishedName, User: need('objects', a.User).DistinguishedName, IsInherited: false, [field]: [a[field]] }
      did('+ ' + kind, `${p.Identity}: ${p.User}: ${a[field]}`, () => state[kind].push(p))
    },
    remove: a => {
      const i = state[kind].findIndex(p => !p.IsInherited && key(p.Identity) === key(a.Identity) && key(p.User) === key(a.User) && has(p[field], a[field]))
      if (i < 0) throw new Thrown(`no such right of ${a.User} on ${a.Identity}`)
      did('- ' + kind, `${a.Identity}: ${a.User}: ${a[field]}`, () => state[kind].splice(i, 1))
    },
  })
  const mailboxRights = permission('mailboxPermissions', 'AccessRights')
  const directoryRights = permission('directoryPermissions', 'ExtendedRights')
  const get = (kind, ...switches) => ({ params: ['Identity', 'ResultSize', 'Role'], switches, run: a => a.Identity === undefined ? [...state[kind]] : [need(kind, a.Identity)] })
  const bypass = ['BypassSecurityGroupManagerCheck']

  const cmdlets = {
    'Join-Path': { params: [], positional: ['a', 'b'], run: a => [a.a + '/' + a.b] },
    'Test-Path': { params: ['Path'], run: a => [state.files[a.Path] !== undefined] },
    'Import-Clixml': { params: ['Path'], run: a => structuredClone(state.files[a.Path]) },
    'Export-Clixml': { params: ['Path', 'Depth'], run: (a, input) => { state.files[a.Path] = structuredClone(input); return [] } },
    'Remove-Item': { params: ['Path'], run: a => { delete state.files[a.Path]; return [] } },

    'Get-DistributionGroup': get('groups'),
    'New-DistributionGroup': { params: ['Name', 'SamAccountName', 'Type', 'MemberJoinRestriction', 'MemberDepartRestriction'],
      run: a => [made('groups', { Name: a.Name, DistinguishedName: 'CN=' + a.Name + ',OU=Groups,DC=acme,DC=example', Members: [] })] },
    'Remove-DistributionGroup': { params: ['Identity'], switches: bypass, run: a => { gone('groups', a.Identity) } },
    'Get-DistributionGroupMember': { params: ['Identity', 'ResultSize'], run: a => need('groups', a.Identity).Members.map(dn => need('objects', dn)) },
    'Add-DistributionGroupMember': { params: ['Identity', 'Member'], switches: bypass, run: a => { join('groups', a.Identity, a.Member, 'Members') } },
    'Remove-DistributionGroupMember': { params: ['Identity', 'Member'], switches: bypass, run: a => { leave('groups', a.Identity, a.Member, 'Members') } },

    'Get-User': { params: ['Identity'], run: a => [need('objects', a.Identity)] },
    'Get-Mailbox': { params: ['Identity', 'ResultSize'], run: a => a.Identity === undefined ? state.objects.filter(o => o.Mailbox) : [need('objects', a.Identity)].filter(o => o.Mailbox) },
    'Get-ClientAccessServer': { params: [], run: () => state.objects.filter(o => o.Server) },
    'Get-ManagementScope': get('scopes'),
    'New-ManagementScope': { params: ['Name', 'RecipientRestrictionFilter'], run: a => [made('scopes', { Name: a.Name, RecipientFilter: a.RecipientRestrictionFilter })] },
    'Remove-ManagementScope': { params: ['Identity'], run: a => {
      if ([...state.roleGroups, ...state.assignments].some(g => key(g.Scope) === key(a.Identity))) throw new Thrown('the scope is in use')
      gone('scopes', a.Identity)
    } },
    'Get-RoleGroup': get('roleGroups'),
    'New-RoleGroup': { params: ['Name', 'Roles', 'CustomRecipientWriteScope', 'Description'], run: a => {
      need('scopes', a.CustomRecipientWriteScope)
      return [made('roleGroups', { Name: a.Name, Roles: [a.Roles], Scope: a.CustomRecipientWriteScope, Members: [] })]
    } },
    'Remove-RoleGroup': { params: ['Identity'], switches: bypass, run: a => { gone('roleGroups', a.Identity) } },
    'Get-RoleGroupMember': { params: ['Identity', 'ResultSize'], run: a => need('roleGroups', a.Identity).Members.map(dn => need('objects', dn)) },
    'Add-RoleGroupMember': { params: ['Identity', 'Member'], switches: bypass, run: a => { join('roleGroups', a.Identity, a.Member, 'Members') } },
    'Remove-RoleGroupMember': { params: ['Identity', 'Member'], switches: bypass, run: a => { leave('roleGroups', a.Identity, a.Member, 'Members') } },

    'Get-ManagementRoleAssignment': { params: ['Identity', 'Role'], switches: ['GetEffectiveUsers'], run: a => {
      if (a.Identity !== undefined) return [need('assignments', a.Identity)]
      const groups = state.roleGroups.flatMap(g => g.Members.map(dn => ({ Name: g.Roles[0] + '-' + g.Name, Role: g.Roles[0], RoleAssigneeName: g.Name, EffectiveUserName: dn, RecipientWriteScope: 'CustomRecipientScope', CustomRecipientWriteScope: g.Scope })))
      return [...state.assignments, ...groups].filter(r => !a.Role || key(r.Role) === key(a.Role))
    } },
    'New-ManagementRoleAssignment': { params: ['Name', 'App', 'Role', 'CustomResourceScope'], run: a => {
      need('scopes', a.CustomResourceScope)
      need('servicePrincipals', a.App)
      return [made('assignments', { Name: a.Name, Role: a.Role, RoleAssigneeName: a.App, Scope: a.CustomResourceScope, CustomResourceScope: a.CustomResourceScope })]
    } },
    'Remove-ManagementRoleAssignment': { params: ['Identity'], run: a => { gone('assignments', a.Identity) } },
    'Get-ServicePrincipal': get('servicePrincipals'),
    'Get-MgServicePrincipal': { params: ['Filter'], run: () => [{ Id: 'the-object-id' }] },
    'New-ServicePrincipal': { params: ['AppId', 'ObjectId', 'DisplayName'], run: a => [made('servicePrincipals', { Name: a.AppId, AppId: a.AppId, ObjectId: a.ObjectId, DisplayName: a.DisplayName })] },
    'Remove-ServicePrincipal': { params: ['Identity'], run: a => { gone('servicePrincipals', a.Identity) } },
    'Test-ServicePrincipalAuthorization': { params: ['Identity', 'Resource'], run: () => [] },
    'Get-ApplicationAccessPolicy': { params: [], run: () => [] },

    'Get-MailboxPermission': { params: ['Identity', 'User'], run: mailboxRights.get },
    'Add-MailboxPermission': { params: ['Identity', 'User', 'AccessRights', 'InheritanceType', 'AutoMapping'], run: mailboxRights.add },
    'Remove-MailboxPermission': { params: ['Identity', 'User', 'AccessRights', 'InheritanceType'], run: mailboxRights.remove },
    'Get-ADPermission': { params: ['Identity', 'User'], run: directoryRights.get },
    'Add-ADPermission': { params: ['Identity', 'User', 'ExtendedRights'], run: directoryRights.add },
    'Remove-ADPermission': { params: ['Identity', 'User', 'ExtendedRights'], run: directoryRights.remove },

    'Get-OrganizationConfig': { params: [], switches: ['RetrieveEwsOperationAccessPolicy'], run: () => [state.config] },
    'Set-OrganizationConfig': { params: ['EwsEnabled', 'EwsApplicationAccessPolicy', 'EwsAllowList', 'EwsAllowedAppIDs'], run: a => { settings(state.config, a, 'organization') } },
    'Get-CASMailbox': get('cas'),
    'Set-CASMailbox': { params: ['Identity', 'EwsEnabled', 'EwsAllowList'], run: a => { const c = need('cas', a.Identity); settings(c, a, c.Name) } },
    'Get-WebServicesVirtualDirectory': { params: [], switches: ['ADPropertiesOnly'], run: () => [] },
  }
  let met = 0
  if (fail) {
    if (!cmdlets[fail.cmdlet]) throw new Error(`no cmdlet ${fail.cmdlet}`)
    cmdlets[fail.cmdlet].run = () => {
      met++
      if (fail.silent) return []
      throw new Thrown(`${fail.cmdlet} fails`)
    }
  }
  return { cmdlets, trace, met: () => met }
}
