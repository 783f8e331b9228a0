-- Who did what. Rows are only ever added: each carries the hash of the one before, and
-- signed checkpoints outside of the database say how far the chain had come. See audit.go.

create table audit (
	org_id  bigint not null,
	seq     bigint not null, -- 1, 2, 3 … without a gap
	done_at bigint not null,
	actor   text not null,
	action  text not null,
	subject text not null,
	detail  text not null,
	widens  boolean not null,
	hash    {{.Bytes}} not null, -- SHA-256 of the hash before and of this row
	primary key (org_id, seq)
) {{.Clustered}};

-- The end of each chain. Who adds an entry holds this row, so that a chain stays one.
create table audit_head (
	org_id      bigint not null primary key,
	seq         bigint not null,
	hash        {{.Bytes}} not null,
	signing_key {{.Bytes}} not null, -- sealed: signs the checkpoints
	checkpoint  text not null        -- SHA-256 of a line that the file of checkpoints was known to have; '' = none
);
