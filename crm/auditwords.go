package crm

// auditTitles say to people what was done.
var auditTitles = map[string]string{
	"access-log.export":    "Access log exported",
	"access-log.retention": "Retention of the access log changed",
	"audit-log.export":     "Audit log exported",
	"audit.accept":         "Gap in the audit log accepted",
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
