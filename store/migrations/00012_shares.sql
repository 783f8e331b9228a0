-- Links under which somebody without a sign-in sees what an Exchange administrator is to do,
-- and nothing else.

create table share (
	org_id     bigint not null,
	id         bigint not null, -- 1, 2, 3 …
	token_hash {{.Bytes}} not null,
	version    text not null,   -- of Exchange that the scripts are for
	app        text not null,   -- of the application, for Exchange Online; '' = none
	made_at    bigint not null,
	made_by    text not null,
	expires_at bigint not null, -- also when it was revoked
	primary key (org_id, id)
) {{.Clustered}};
create unique index share_by_token on share (org_id, token_hash);
