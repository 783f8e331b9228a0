-- Where an organization asks for four eyes, a change that widens access waits here until a
-- second person has approved it.

alter table org add column four_eyes_at bigint not null default 0; -- since when; 0 = off
alter table org add column four_eyes_by text not null default '';

-- Who set a user's password, a crm.Principal. That person may know it, and what the user
-- made of it since, so the user's own change leaves this as it is.
alter table account add column password_by text not null default '';

create table proposal (
	org_id      bigint not null,
	id          bigint not null, -- 1, 2, 3 …
	kind        text not null,   -- crm.ProposalKind
	state       text not null,   -- crm.ProposalState
	principal   text not null,   -- crm.Principal: who proposed it, and may not approve it
	proposed_by text not null,   -- the same, in words
	proposed_at bigint not null,
	expires_at  bigint not null,
	effects     text not null,   -- JSON: what the audit log is to say of it
	change      {{.Bytes}},      -- sealed: what is to be saved; gone once it is decided
	closed_at   bigint not null default 0,
	closed_by   text not null default '',
	primary key (org_id, id)
) {{.Clustered}};
