-- The end of each audit log is signed in the row itself: what stands behind the last checkpoint
-- cannot be written anew by who has the database but not the key.

alter table audit_head add column seal {{.Bytes}}; -- Ed25519, of auditHead.message
