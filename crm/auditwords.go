package crm

import "strings"

// auditTitles say to people what was done.
var auditTitles = map[string]string{
	"access-log.export":    "Access log exported",
	"access-log.retention": "Retention of the access log changed",
	"audit-log.export":     "Audit log exported",
	"audit.accept":         "Gap in the audit log accepted",
	"autodiscover.run":     "Server searched",
	"check.run":            "Connection checked",
	"evidence.export":      "Evidence exported",
	"mailbox.sign-in":      "Signed in to the own mailbox",
	"mailbox.sign-out":     "Signed out of the own mailbox",
	"audit.broken":         "The audit log is not as it was written",
	"contacts.save":        "Contacts saved",
	"deployment.save":      "Installation changed",
	"egress.save":          "Addresses saved",
	"four-eyes.off":        "Four eyes turned off",
	"four-eyes.on":         "Four eyes turned on",
	"guide.decide":         "Decision recorded",
	"keys.rotate":          "Data key changed",
	"keys.rotate-master":   "Master key changed",
	"keys.rotated":         "Old data keys destroyed",
	"keys.shred":           "Keys destroyed",
	"organization.add":     "Organization added",
	"password.set":         "Password set",
	"policy.group":         "Members of a group changed",
	"policy.remove":        "Filed mail removed by the policy",
	"policy.save":          "Policy saved",
	"policy.user":          "Limits of a user saved",
	"proposal.approve":     "Proposal approved",
	"proposal.expire":      "Proposal expired",
	"proposal.make":        "Change proposed",
	"proposal.reject":      "Proposal rejected",
	"proposal.stale":       "Proposal stale",
	"proposal.withdraw":    "Proposal withdrawn",
	"quarantine.leave":     "Quarantine: left",
	"quarantine.try":       "Quarantine: tried again",
	"audit.sink":           "Sink of the audit log changed",
	"security.contacts":    "Security contacts changed",
	"security.untold":      "Word to a security contact given up",
	"settings.save":        "Email settings saved",
	"settings.test":        "Email settings tested",
	"share.make":           "Link for the Exchange admin made",
	"share.revoke":         "Link for the Exchange admin revoked",
	"sign-in":              "Signed in",
	"sign-in.failed":       "Sign-in failed",
	"sign-out":             "Signed out",
	"users.save":           "Users saved",
}

// AuditTitle says to people what an action of the audit log was; one without a title is said
// as it is.
func AuditTitle(action string) string {
	if t := auditTitles[action]; t != "" {
		return t
	}
	return action
}

// wouldDo says what an action does that waits for a second person, or waited in vain.
var wouldDo = map[string]string{
	"access-log.retention": "Would change the retention of the access log",
	"egress.save":          "Would save the addresses",
	"four-eyes.off":        "Would turn four eyes off",
	"policy.group":         "Would change the members of a group",
	"policy.save":          "Would save the policy as the next version",
	"policy.user":          "Would save the limits of a user",
	"security.contacts":    "Would change the security contacts",
	"settings.save":        "Would save the Email settings",
	"users.save":           "Would save users",
}

// Says tells people what an effect of the proposal did, or, unless it was approved, would do.
func (p Proposal) Says(e Effect) string {
	if p.State == ProposalApproved {
		return strings.TrimSpace(AuditTitle(e.Action) + " " + e.Subject)
	}
	would := wouldDo[e.Action]
	if would == "" {
		would = "Would do: " + AuditTitle(e.Action)
	}
	if e.Subject == "" || e.Action == "policy.save" { // whose number may be another's by then
		return would
	}
	return would + ": " + e.Subject
}

// Lines are the details of an effect, with the titles of what a policy limits.
func (e Effect) Lines() []string {
	titles := map[string]string{}
	if e.Action == "policy.save" || e.Action == "policy.user" {
		for _, f := range new(Policy).Text() {
			titles[f.Field] = f.Title
		}
	}
	var lines []string
	for line := range strings.Lines(e.Detail) {
		line = strings.TrimSuffix(line, "\n")
		if field, rest, ok := strings.Cut(line, ": "); ok && titles[field] != "" {
			line = titles[field] + ": " + rest
		}
		lines = append(lines, line)
	}
	return lines
}
