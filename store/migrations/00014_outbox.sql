-- Word by mail to those who look after security in an organization.

create table security_contact (
	org_id  bigint not null,
	address text not null,
	primary key (org_id, address)
) {{.Clustered}};

-- Word of an entry of the audit log that an address is owed, or got.
create table outbox (
	org_id      bigint not null,
	seq         bigint not null, -- of the entry
	address     text not null,
	made_at     bigint not null,
	due_at      bigint not null, -- when to try, while neither sent nor given up
	attempts    integer not null,
	trouble     text not null,   -- why the last one failed
	sent_at     bigint not null, -- 0 = not yet
	given_up_at bigint not null, -- 0 = not
	primary key (org_id, seq, address)
) {{.Clustered}};

create index outbox_due on outbox (org_id, due_at) where sent_at = 0 and given_up_at = 0;
