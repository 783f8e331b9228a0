-- What may be touched and what of it is filed: versions of the organization's policy, what
-- users left alone in their own mailboxes, and the members of groups that policies name.

create table policy (
	org_id   bigint not null,
	version  bigint not null, -- 1, 2, 3 …; the highest holds
	saved_at bigint not null,
	saved_by text not null,
	text     text not null,   -- a crm.Policy in JSON
	primary key (org_id, version)
) {{.Clustered}};

create table user_limits (
	org_id  bigint not null,
	user_id bigint not null references account (id),
	text    text not null,   -- crm.Limits in JSON
	primary key (org_id, user_id)
) {{.Clustered}};

create table policy_group (
	org_id      bigint not null,
	address     text not null,
	members     text not null,   -- addresses in JSON
	expanded_at bigint not null,
	primary key (org_id, address)
) {{.Clustered}};

-- Removals of what was filed and what a version of the policy would not file. The one that
-- is not done goes on where it stopped; see removal.go.
create table removal (
	org_id   bigint not null,
	version  bigint not null, -- of the policy
	last_id  bigint not null, -- messages up to this one have been looked at
	until_id bigint not null, -- later ones were filed by this policy
	messages bigint not null, -- removed
	copies   bigint not null, -- removed, those of messages that stay included
	done_at  bigint not null, -- 0 = under way
	primary key (org_id, version)
) {{.Clustered}};

-- Contents that were referred to by what is removed; those that nothing else refers to are
-- deleted.
create table discarded (
	org_id bigint not null,
	sha256 {{.Bytes}} not null,
	primary key (org_id, sha256)
) {{.Clustered}};
create index attachment_by_content on attachment (org_id, sha256) where sha256 is not null;
