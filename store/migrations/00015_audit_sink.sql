-- The sink beyond this machine that is told the signed checkpoints of the audit log, and how
-- far it was told.

create table audit_sink (
	org_id    bigint not null primary key,
	address   text not null,
	told_seq  bigint not null,  -- the last entry of which it took the checkpoint
	told_hash text not null,    -- of that line; '' = it took none yet
	told_at   bigint not null,
	since     bigint not null,  -- when it began to take none; 0 = it takes them
	attempts  integer not null, -- that failed since
	trouble   text not null,    -- why the last one did
	due_at    bigint not null   -- when to try again
);
