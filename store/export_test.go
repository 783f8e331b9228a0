package store

// SealedColumns is how many columns hold sealed values.
var SealedColumns = len(sealedColumns)

// AuditHash is the hash of an entry of the audit log, for who would write it anew.
var AuditHash = auditHash
